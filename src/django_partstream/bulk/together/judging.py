"""Which rows of a block may be written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_partstream.bulk.plan import Candidate

from .rows import PENDING, Asked, NotTogetherError, RefusedError, Rows, picked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django_partstream.bulk.columns import Column
    from django_partstream.bulk.judge import Verdict
    from django_partstream.bulk.questions import Check, Question

    from .rows import Known
    from .together import Together

__all__ = ("Judging",)


class Judging:
    """Judges rows by columns, and by themselves those that need it."""

    def __init__(self, of: Together, known: Known) -> None:
        self._of = of
        self._known = known
        self._instances: dict[int, Any] = {}
        #: Whether rows are to be written that were not asked about.
        self.hopes = False

    def judged(self, groups: list[Rows]) -> list[Rows]:
        """The rows of each group that are to be written, among them those that were
        judged by themselves and are valid."""
        plain: list[Rows] = []
        asked: list[Asked] = []
        odd: list[int] = []

        for rows in groups:
            some, keys = _plain(rows)
            odd += sorted(set(rows.places).difference(some.places))
            plain.append(some)
            asked += [Asked(some, check, of_check) for check, of_check in keys]

        # Many of them are judged no faster here.
        if len(odd) > len(self._known.data) // 2:
            raise NotTogetherError

        # Of a row that is refused, all is told that is wrong with it.
        if not odd:
            asked = [one for one in asked if not self._leaves_to_database(one)]

        verdicts, questions = self._look(odd)
        twins = self._load(asked, questions)
        refused = self._refused(asked)
        again = self._answered(questions)

        if (refused or twins) and self.hopes:
            raise RefusedError

        if twins:
            self._judge_in_order({*twins, *again, *refused}, asked, questions, verdicts)
        else:
            verdicts |= {place: self._judge(place) for place in [*again, *refused]}

        if self._of.plan.watch.hit or not self._known.repeats.heads.isdisjoint(
            verdicts
        ):
            raise NotTogetherError

        records = self._records(verdicts)

        if not refused.isdisjoint(records):
            raise NotTogetherError

        return [
            rows._replace(
                places=[
                    place
                    for place in rows.places
                    if place in records or place not in verdicts
                ],
                records=records,
            )
            for rows in groups
        ]

    def _judge_in_order(
        self,
        places: set[int],
        asked: Sequence[Asked],
        questions: Mapping[int, Sequence[Question]],
        verdicts: dict[int, Verdict],
    ) -> None:
        """Add the verdicts on rows that want what others have, or what others of them
        want: the first one that is valid gets it."""
        wants: dict[int, list[tuple[Check, Any]]] = {place: [] for place in places}

        for one in asked:
            for place, key in zip(one.rows.places, one.keys, strict=True):
                if place in wants and key is not None:
                    wants[place].append((one.check, key))

        for place in sorted(places):
            own = self._known.stored_at.get(place, (None,))[0]
            known = questions.get(place, ())
            wanted = [*wants[place], *((q.check, q.key) for q in known)]

            if any(
                key in check.unknown
                or any(pk != own for pk in check.holders.get(key, ()))
                for check, key in wanted
            ):
                verdicts[place] = self._judge(place)

            if place not in verdicts or verdicts[place].is_valid:
                for check, key in wanted:
                    check.holders[key] = [*check.holders.get(key, ()), PENDING]

    def _leaves_to_database(self, asked: Asked) -> bool:
        """Whether the database finds out whether rows may have what they want. They are
        inserted before anything else is written, so that it says what the validators
        would."""
        keys = asked.keys
        leaves = (
            asked.rows.stored is None
            and self._of.may_leave(asked.check)
            # Those of one block are found sooner here.
            and len({*keys} - {None}) == len(keys) - keys.count(None)
        )
        self.hopes = self.hopes or leaves

        return leaves

    def _look(
        self, odd: Sequence[int]
    ) -> tuple[dict[int, Verdict], dict[int, list[Question]]]:
        """At rows by themselves, supposing that every key is free."""
        checks = self._of.plan.checks
        checks.ask()
        self._load_instances([place for place in odd if place in self._known.stored_at])
        verdicts: dict[int, Verdict] = {}
        questions: dict[int, list[Question]] = {}

        for place in odd:
            checks.questions = questions[place] = []
            verdicts[place] = self._judge(place)

        return verdicts, questions

    def _load_instances(self, places: Sequence[int]) -> None:
        if not places:
            return

        pks = {place: self._known.stored_at[place][0] for place in places}

        with self._of.plan.watch.looking_away():
            found = self._of.target.world.in_bulk({*pks.values()})
            self._of.plan.fetch_compared([*found.values()])

        self._instances |= {place: found[pk] for place, pk in pks.items()}

    def _judge(self, place: int) -> Verdict:
        data = self._known.data[place]

        if place not in self._known.stored_at:
            return self._of.plan.new.judge(Candidate(place, data))

        if place not in self._instances:
            self._load_instances([place])

        data = self._of.update_data(data)
        candidate = Candidate(place, data, self._instances[place])

        return self._of.plan.stored.judge(candidate)

    def _load(
        self, asked: Sequence[Asked], questions: Mapping[int, Sequence[Question]]
    ) -> set[int]:
        """Find out who has what was asked for; the rows of which two want the same."""
        wanted: dict[Check, set[Any]] = {}
        told: dict[frozenset[Column], list[Any]] = {}
        orders: dict[frozenset[Column], Any] = {}

        for check, keys in (
            *((one.check, one.keys) for one in asked),
            *((q.check, [q.key]) for some in questions.values() for q in some),
        ):
            some = keys if None not in keys else [k for k in keys if k is not None]
            wanted.setdefault(check, set()).update(some)
            told.setdefault(check.columns, []).extend(check.told_all(some))

            if orders.setdefault(check.columns, check.ordered) != check.ordered:
                raise NotTogetherError

        twins: set[int] = set()

        if any(len({*keys}) < len(keys) for keys in told.values()):
            twins = _twins(asked, questions)

        with self._of.plan.watch.looking_away():
            self._of.plan.checks.load(wanted)

        return twins

    def _refused(self, asked: Sequence[Asked]) -> set[int]:
        """The rows of which the validators themselves must tell: somebody may have what
        they want."""
        refused: set[int] = set()
        changing = {values[0] for values in self._known.stored_at.values()}

        for rows, check, keys in asked:
            if not check.holders and not check.unknown:
                continue

            for place, key in zip(rows.places, keys, strict=True):
                own = self._known.stored_at.get(place, (None,))[0]
                others = [pk for pk in check.holders.get(key, ()) if pk != own]

                # Of a row of this block, that may give it up.
                if not changing.isdisjoint(others):
                    raise NotTogetherError

                if others or key in check.unknown:
                    refused.add(place)

        return refused

    def _answered(self, questions: Mapping[int, Sequence[Question]]) -> list[int]:
        """The rows that asked for what somebody has, or may have."""
        changing = {values[0] for values in self._known.stored_at.values()}

        if any(
            not changing.isdisjoint(question.holders())
            for some in questions.values()
            for question in some
        ):
            # A row of this block, that may give it up.
            raise NotTogetherError

        return [p for p, some in questions.items() if any(map(_is_answered, some))]

    def _records(self, verdicts: Mapping[int, Verdict]) -> dict[int, dict[str, Any]]:
        """What valid ones are to hold; the others have failed."""
        records: dict[int, dict[str, Any]] = {}

        for place, verdict in verdicts.items():
            if verdict.is_valid:
                record = self._of.table.record(verdict.values or {})

                if record is None:
                    raise NotTogetherError

                records[place] = record

                continue

            is_new = self._known.keys and place not in self._known.stored_at

            if is_new and any(error.code == "unique" for error in verdict.errors):
                # Somebody may have stored its key in the meantime.
                raise NotTogetherError

            self._known.failed[place] = verdict.errors

        return records


def _plain(rows: Rows) -> tuple[Rows, list[tuple[Any, list[Any]]]]:
    """The rows that need no look at each, and what they ask for, by check."""
    odd = rows.judge.odd()
    some = rows._replace(places=[*rows.places])

    if odd:
        some = _without(rows, odd)

    lacking, asked = rows.judge.asked(some.places, some.stored)

    if lacking:
        some = _without(some, {some.places[index] for index in lacking})
        asked = rows.judge.asked(some.places, some.stored)[1]

    return some, asked


def _without(rows: Rows, places: set[int]) -> Rows:
    keep = [index for index, place in enumerate(rows.places) if place not in places]
    stored = rows.stored

    return rows._replace(
        places=picked(rows.places, keep),
        stored=stored and {name: picked(cells, keep) for name, cells in stored.items()},
    )


def _twins(
    asked: Sequence[Asked], questions: Mapping[int, Sequence[Question]]
) -> set[int]:
    """The rows of which two want the same of one validator."""
    wanting: dict[Any, list[tuple[int, Check, Any]]] = {}
    every = [
        *(
            (place, one.check, key)
            for one in asked
            for place, key in zip(one.rows.places, one.keys, strict=True)
            if key is not None
        ),
        *((p, q.check, q.key) for p, some in questions.items() for q in some),
    ]

    for place, check, key in every:
        told = check.columns, check.told(key)
        wanting.setdefault(told, []).append((place, check, key))

    twins: set[int] = set()

    for some in wanting.values():
        if len(some) > 1:
            # Only the database knows whether two spellings are one.
            if any(each[1:] != some[0][1:] for each in some):
                raise NotTogetherError

            twins.update(place for place, *_ in some)

    return twins


def _is_answered(question: Question) -> bool:
    return question.is_unknown or bool(question.holders())
