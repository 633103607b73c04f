"""What became of many rows, without an object for each until one is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, overload

from .outcome import Counts, Kind, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ("Outcomes",)


class Outcomes(Sequence[Outcome]):
    """One outcome for each row, in the order of the input."""

    __slots__ = ("_failed", "_first", "_lines", "kinds", "pks", "stored")

    def __init__(
        self,
        first: int,
        kinds: list[Kind],
        pks: list[Any],
        failed: dict[int, Outcome],
        lines: Sequence[int | None] | None = None,
        stored: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        self._first = first
        self._lines = lines
        self._failed = failed
        #: Of each row.
        self.kinds = kinds
        #: Of each row; None of one that failed.
        self.pks = pks
        #: What the rows hold now, by columns; None where only the database can tell.
        self.stored = stored

    @classmethod
    def of(cls, outcomes: Iterable[Outcome]) -> Outcomes:
        """The same, if they are not yet together."""
        if isinstance(outcomes, Outcomes):
            return outcomes

        known = [*outcomes]

        return cls(
            known[0].row if known else 1,
            [outcome.kind for outcome in known],
            [outcome.pk for outcome in known],
            {i: o for i, o in enumerate(known) if o.kind is Kind.FAILED},
            [outcome.line for outcome in known],
        )

    @classmethod
    def joined(cls, parts: Sequence[Sequence[Outcome]]) -> Outcomes:
        """Of blocks that follow each other."""
        if len(parts) == 1:
            return cls.of(parts[0])

        lines: list[int | None] = []
        whole = cls(1, [], [], {}, lines)
        known = [cls.of(part) for part in parts]

        for part in known:
            start = len(whole.kinds)

            if not start:
                whole._first = part._first

            whole.kinds += part.kinds
            whole.pks += part.pks
            whole._failed |= {start + i: o for i, o in part._failed.items()}
            lines += part._lines or [None] * len(part.kinds)

        whole.stored = _joined(known, whole.pks)

        return whole

    @property
    def failed(self) -> list[Outcome]:
        """Of the rows that failed."""
        return [self._failed[index] for index in sorted(self._failed)]

    def counts(self) -> Counts:
        return Counts(**{k.value: n for k, n in Counter(self.kinds).items()})

    def of_kind(self, kind: Kind) -> list[Any]:
        """The primary keys of the rows with which this was done."""
        if kind not in self.kinds:
            return []

        pairs = zip(self.kinds, self.pks, strict=True)

        return [pk for one, pk in pairs if one is kind]

    def written(self) -> list[Any]:
        """The primary keys of all that did not fail, in order."""
        if not self._failed:
            return self.pks

        return [pk for i, pk in enumerate(self.pks) if i not in self._failed]

    def __len__(self) -> int:
        return len(self.kinds)

    @overload
    def __getitem__(self, index: int) -> Outcome: ...

    @overload
    def __getitem__(self, index: slice) -> list[Outcome]: ...

    def __getitem__(self, index: int | slice) -> Outcome | list[Outcome]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]

        if index < 0:
            index += len(self)

        kind = self.kinds[index]

        if index in self._failed:
            return self._failed[index]

        return Outcome(
            row=self._first + index,
            line=self._lines[index] if self._lines else None,
            kind=kind,
            pk=self.pks[index],
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and [*self] == [*other]

    __hash__ = None  # type: ignore[assignment]


def _joined(
    parts: Sequence[Outcomes], pks: Sequence[Any]
) -> dict[str, list[Any]] | None:
    """What rows of several blocks hold now, if each is in one of them only."""
    known = [part.stored for part in parts]

    if not known or len({*pks}) < len(pks):
        return None

    return {
        name: [*chain.from_iterable(some[name] for some in known if some is not None)]
        for name in known[0] or ()
        if all(some is not None and name in some for some in known)
    }
