"""Rows written one by one, as DRF's own views write them, each under a savepoint."""

from __future__ import annotations

import copy
import json
import logging
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DatabaseError, models, transaction
from rest_framework import exceptions
from rest_framework.fields import get_error_detail

from . import columns as cols
from .entry import DENIALS, denied
from .matching import Finder, locked_instances, primary_keys
from .outcome import Kind, RowError, row_errors
from .prepared import check_encodable
from .refusals import CONFLICT, NO_REFERENCE, NOT_UNIQUE, REFUSALS, refusal
from .uniqueness import free_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django.db.models import Model

    from .entry import Entry, Target
    from .keys import KeyReader, UniqueFields
    from .references import References
    from .verb import Verb

__all__ = ("OneByOne",)

logger = logging.getLogger(__name__)


class _RefusedError(Exception):
    """The row is refused; what it has written is to be undone."""

    def __init__(self, *errors: RowError) -> None:
        self.errors = errors


class OneByOne:
    """Stock serializers, one for each row; whatever they or a model's `save()` do is
    done as ever."""

    def __init__(
        self,
        target: Target,
        fields: UniqueFields,
        verb: Verb,
        keys: KeyReader,
        references: References,
        update_data: Callable[[Any], Any],
    ) -> None:
        self._target = target
        self._fields = fields
        self._verb = verb
        self._keys = keys
        self._references = references
        self._update_data = update_data

    def run(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            entry.reset()

            if entry.outcome is None:
                self.store(entry)

    def store(self, entry: Entry) -> None:
        """Give the entry its outcome. Raises what is no row's fault."""
        try:
            with transaction.atomic(using=self._target.using):
                self._store(entry)
        except _RefusedError as error:
            entry.fail(*error.errors)
        except exceptions.ValidationError as error:
            entry.fail(*row_errors(error.detail))
            self._retry_overtaken(entry)
        except DjangoValidationError as error:
            entry.fail(*row_errors(get_error_detail(error)))
        except DENIALS as error:
            entry.fail(denied(error))
        except REFUSALS as error:
            self._refuse(entry, error)

    def _retry_overtaken(self, entry: Entry) -> None:
        """Judge it anew if another transaction has stored its key since it was looked
        for."""
        if not entry.may_be_overtaken:
            return

        finder = Finder(self._target.world, self._fields.columns, primary_keys)

        if entry.key in finder.find([entry.key] if entry.key else []).rows:
            entry.retried = True
            entry.reset()
            self.store(entry)

    def _refuse(self, entry: Entry, error: BaseException) -> None:
        reason = refusal(error)

        if reason is None:
            raise error

        if not isinstance(error, DatabaseError):
            logger.warning("Row %s was refused", entry.row.number, exc_info=error)

        if reason is not NOT_UNIQUE:
            entry.fail(reason)
        elif entry.retried:
            entry.fail(CONFLICT if entry.instance is None else NOT_UNIQUE)
        else:
            # Somebody else may have stored the key since it was looked up.
            entry.retried = True
            entry.reset()
            self.store(entry)

    def _store(self, entry: Entry) -> None:
        entry.key, errors = self._keys.read(entry.data)

        if errors:
            raise _RefusedError(*errors)

        entry.instance = instance = self._match(entry)

        if instance is None:
            if self._target.check_new is not None:
                self._target.check_new()

            serializer = self._target.get_serializer(data=entry.data)
        else:
            if self._target.check_object is not None:
                self._target.check_object(instance)

            serializer = self._target.get_serializer(
                instance,
                data=self._update_data(entry.data),
                partial=self._verb.partial,
            )

        free_key(serializer, self._fields.columns)
        serializer.is_valid(raise_exception=True)
        before = _state(instance, serializer)
        self._check_documents(serializer.validated_data)
        save = self._target.perform_create
        kind = Kind.CREATED

        if instance is not None:
            save = self._target.perform_update

        if save is None:
            serializer.save()
        else:
            save(serializer)

        stored = serializer.instance

        if stored is not None and self._references.dangles(stored):
            raise _RefusedError(NO_REFERENCE)

        if instance is not None:
            is_same = _are_same(before, _state(stored, serializer))
            kind = Kind.UNCHANGED if is_same else Kind.UPDATED

        entry.settle(kind, getattr(stored, "pk", None))

    def _check_documents(self, values: Any) -> None:
        by_source = cols.columns_by_source(self._target.model)

        check_encodable(
            json.dumps(value, cls=column.encoder)
            for source, value in values.items()
            if isinstance(column := by_source.get(source), models.JSONField)
        )

    def _match(self, entry: Entry) -> Model | None:
        if entry.key is None:
            return None

        finder = Finder(self._target.world, self._fields.columns, locked_instances)
        rows = finder.find([entry.key]).rows.get(entry.key)

        if rows:
            return rows[0]

        if self._fields.is_assigned or not self._verb.creates:
            raise _RefusedError(self._keys.not_found(entry.key))

        return None


def _state(instance: Any, serializer: Any) -> Any:
    """All that is stored of an instance, as far as this serializer writes it."""
    if instance is None:
        return None

    meta = instance._meta
    columns = {
        column: copy.deepcopy(getattr(instance, column.attname))
        for column in meta.concrete_fields
    }
    relations = {
        field.name: set(getattr(instance, field.name).values_list("pk", flat=True))
        for field in meta.many_to_many
        if field.name in serializer.validated_data
    }

    return columns, relations


def _are_same(before: Any, after: Any) -> bool:
    columns, relations = before
    now, relations_now = after

    return bool(relations == relations_now) and not any(
        cols.differs(column, value, now[column]) for column, value in columns.items()
    )
