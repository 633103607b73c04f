"""Many-to-many relations that rows are written to: each row's is a set.

As `manager.set()` would leave it, in a few statements however many rows there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models, router
from django.db.models.base import ModelState
from django.db.models.signals import m2m_changed

from django_partstream import topics

from .receivers import receivers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ("Link", "Links", "link_field", "linking_reason")

#: The keys of the objects that a row is to be linked with.
Keys = frozenset[Any]


class Link:
    """One relation, with a table of its own that holds nothing else."""

    def __init__(self, field: Any) -> None:
        self.name = field.name
        self.through: Any = field.remote_field.through
        self.model: Any = field.related_model
        meta = self.through._meta
        #: The columns of the row and of what it is linked with.
        self.near: Any = meta.get_field(field.m2m_field_name())
        self.far: Any = meta.get_field(field.m2m_reverse_field_name())

    def keys(self, value: Any) -> Keys | None:
        """The keys of these objects; None where they are no stored ones."""
        if type(value) is not list:
            return None

        keys = [
            getattr(each, self.far.target_field.attname)
            if isinstance(each, self.model)
            else None
            for each in value
        ]

        return None if None in keys else frozenset(keys)

    def stored(self, using: str, pks: Sequence[Any]) -> dict[Any, dict[Any, Any]]:
        """By row, the keys that it is linked with and what holds each link."""
        manager = self.through._base_manager.using(using)
        names = (self.near.attname, self.far.attname, "pk")
        step = connections[using].features.max_query_params or max(1, len(pks))
        found: dict[Any, dict[Any, Any]] = {}

        for start in range(0, len(pks), step):
            near = {f"{self.near.attname}__in": pks[start : start + step]}

            for row, key, pk in manager.filter(**near).values_list(*names):
                found.setdefault(row, {})[key] = pk

        return found

    def remove(self, using: str, pks: Sequence[Any]) -> None:
        step = connections[using].features.max_query_params or max(1, len(pks))
        manager = self.through._base_manager.using(using)

        for start in range(0, len(pks), step):
            manager.filter(pk__in=pks[start : start + step]).delete()

    def add(self, using: str, pairs: Sequence[tuple[Any, Any]]) -> None:
        near, far = self.near.attname, self.far.attname
        rows = [self.through(**{near: row, far: key}) for row, key in pairs]
        # Another transaction may have linked them meanwhile.
        self.through._base_manager.using(using).bulk_create(rows, ignore_conflicts=True)


class Links:
    """The relations that a serializer writes to, none of which has to be written row
    by row."""

    def __init__(
        self, model: type[models.Model], sources: Iterable[str], using: str
    ) -> None:
        self._using = using
        found = (link_field(model, source) for source in sources)
        self._by_name = {field.name: Link(field) for field in found if field}
        self._stored: dict[str, dict[Any, dict[Any, Any]]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def get(self, name: str) -> Link | None:
        return self._by_name.get(name)

    def split(self, record: dict[str, Any]) -> dict[str, Keys]:
        """Take the relations out of what a row is to hold."""
        return {name: record.pop(name) for name in [*record] if name in self._by_name}

    def load(self, rows: Mapping[Any, Mapping[str, Keys]]) -> None:
        """Look up what these stored rows are linked with: one query a relation."""
        self._stored = {
            name: link.stored(self._using, pks)
            for name, link in self._by_name.items()
            if (pks := [pk for pk, links in rows.items() if name in links])
        }

    def differ(self, pk: Any, links: Mapping[str, Keys]) -> bool:
        """Whether a loaded row would be linked with others."""
        return any(
            self._stored[name].get(pk, {}).keys() != keys
            for name, keys in links.items()
        )

    def write(self, rows: Sequence[tuple[Any, Mapping[str, Keys]]]) -> None:
        """Give rows these links and no others: two statements a relation. New rows,
        which were not loaded, have none yet."""
        for name, link in self._by_name.items():
            stored = self._stored.get(name, {})
            wanted = [(pk, links[name]) for pk, links in rows if name in links]
            gone = [
                holder
                for pk, keys in wanted
                for key, holder in stored.get(pk, {}).items()
                if key not in keys
            ]
            new = [
                (pk, key) for pk, keys in wanted for key in keys - {*stored.get(pk, ())}
            ]

            if gone:
                link.remove(self._using, gone)

            if new:
                link.add(self._using, new)

            if gone or new:
                # As `m2m_changed` would, of which nobody hears here.
                topics.publish_model(link.model, using=self._using)


def link_field(
    model: type[models.Model], source: str
) -> models.ManyToManyField[Any, Any] | None:
    """The many-to-many relation of that name."""
    try:
        field = model._meta.get_field(source)
    except FieldDoesNotExist:
        return None

    return field if isinstance(field, models.ManyToManyField) else None


def linking_reason(
    field: models.ManyToManyField[Any, Any], using: str, *, heard: bool = True
) -> str | None:
    """Why the relation must be written row by row; None where it need not be.
    Receivers of its signal count if they are to be `heard`."""
    return next(_reasons(field, using, heard=heard), None)


def _reasons(field: Any, using: str, *, heard: bool) -> Iterator[str]:
    name = f"{field.model.__name__}.{field.name}"
    through = field.remote_field.through
    manager = field.related_model._default_manager

    if not through._meta.auto_created:
        yield f"{name} goes through {through.__name__}"

    if field.remote_field.symmetrical:
        yield f"{name} is symmetrical"

    if type(manager).get_queryset is not models.Manager.get_queryset:
        yield f"{name} leads to what {type(manager).__name__} shows"

    if not connections[using].features.supports_ignore_conflicts:
        yield f"{name} may be linked by others meanwhile"

    if router.db_for_write(through, instance=_stored_in(field.model, using)) != using:
        yield f"{name} is stored in another database"

    if heard:
        for receiver in receivers(m2m_changed, through):
            yield f"{receiver} receives m2m_changed of {name}"


def _stored_in(model: type[models.Model], using: str) -> models.Model:
    """An instance as routers ask of it; nobody hears of its making."""
    instance = model.__new__(model)
    instance._state = ModelState()
    instance._state.db = using

    return instance
