"""What goes through the pipeline: the view's side of it, and a row on its way."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions

from .outcome import Kind, Outcome, RowError

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model, QuerySet
    from rest_framework.serializers import Serializer

    from .effects import SideEffects
    from .matching import Key
    from .row import Row

__all__ = ("DENIALS", "Entry", "Target", "denied")

#: What a permission raises for an object that the caller may not change.
DENIALS = (
    exceptions.NotAuthenticated,
    exceptions.PermissionDenied,
    Http404,
    PermissionDenied,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a view gives to a bulk operation."""

    #: As `view.get_serializer`: (instance=None, data=…, partial=…), context complete.
    get_serializer: Callable[..., Serializer[Any]]
    #: The world: no other row is seen, changed or told of.
    queryset: QuerySet[Any]
    #: CSV cells that mean null.
    null_values: frozenset[str] = frozenset()
    #: Whether rows are CSV, so that all cells are strings.
    text: bool = False
    #: Asked for every stored row before it is changed or deleted; raises one of
    #: DENIALS.
    check_object: Callable[[Model], None] | None = None
    #: Asked before a row is created; raises one of DENIALS.
    check_new: Callable[[], None] | None = None
    #: Given where the view overrides them.
    perform_create: Callable[[Any], None] | None = None
    perform_update: Callable[[Any], None] | None = None
    #: Is given the instance.
    perform_destroy: Callable[[Any], None] | None = None
    side_effects: SideEffects = "auto"

    @property
    def using(self) -> str:
        return self.queryset.db

    @property
    def model(self) -> type[Model]:
        return self.queryset.model

    @property
    def world(self) -> QuerySet[Any]:
        """The queryset, in a form that can be filtered further."""
        query = self.queryset.query

        if not (query.is_sliced or query.combinator):
            return self.queryset

        rows = self.model._base_manager.using(self.using)

        return rows.filter(pk__in=self.queryset.values("pk"))


@dataclasses.dataclass(slots=True, eq=False)
class Entry:
    """A row on its way: what is known of it so far."""

    row: Row
    #: What the serializer is given.
    data: Any
    #: Its index in the batch.
    place: int
    key: Key | None = None
    #: The stored row that has the key.
    instance: Model | None = None
    #: What is to be written, by attribute; None while that is not known.
    record: dict[str, Any] | None = None
    #: What it is to be linked with, by many-to-many relation.
    links: dict[str, frozenset[Any]] = dataclasses.field(default_factory=dict)
    #: Whether it has been tried once before and met a unique constraint.
    retried: bool = False
    outcome: Outcome | None = None

    @property
    def stored(self) -> Model:
        assert self.instance is not None  # for mypy: asked of updates only

        return self.instance

    @property
    def values(self) -> dict[str, Any]:
        assert self.record is not None  # for mypy: asked of validated rows only

        return self.record

    @property
    def may_be_overtaken(self) -> bool:
        """Whether it had a key that nobody had, and yet is not unique."""
        return (
            self.outcome is not None
            and self.key is not None
            and self.instance is None
            and not self.retried
            and any(error.code == "unique" for error in self.outcome.errors)
        )

    def ask(self, check: Callable[..., None], *arguments: Any) -> None:
        """Fail if this check denies it."""
        try:
            check(*arguments)
        except DENIALS as denial:
            self.fail(denied(denial))

    def reset(self) -> None:
        """Forget all but the row, to judge it anew."""
        self.key = self.instance = self.record = self.outcome = None
        self.links = {}

        if self.row.errors:
            self.fail(*self.row.errors)

    def fail(self, *errors: RowError) -> None:
        self.outcome = Outcome(
            row=self.row.number,
            line=self.row.line,
            kind=Kind.FAILED,
            errors=errors,
            data=self.row.data,
        )

    def settle(self, kind: Kind, pk: Any) -> None:
        self.outcome = Outcome(
            row=self.row.number, line=self.row.line, kind=kind, pk=pk
        )


def denied(error: BaseException) -> RowError:
    """What a refused permission says of the row."""
    own = error if isinstance(error, exceptions.APIException) else None
    detail = (own or exceptions.PermissionDenied()).detail

    return RowError("", "permission_denied", str(detail))
