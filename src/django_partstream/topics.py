"""Topics: the names under which live parts hear that something changed."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import connections, transaction
from django.db.models.signals import m2m_changed, post_delete, post_save

from . import hub, publishing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import Model

__all__ = ("apublish", "group_of", "publish", "publish_model", "topic_of", "topics_for")

#: What has happened when `m2m_changed` says so; the others come before.
M2M_ACTIONS = frozenset({"post_add", "post_remove", "post_clear"})


def publish(*topics: str, using: str | None = None) -> None:
    """Have live streams make again the parts that have one of these topics.

    Inside a transaction it is sent on commit, or never, when that is rolled back: of
    the database `using`, else of every database that this thread has a transaction
    on. It neither waits nor raises because of the channel layer: one that is down is
    logged, and live streams hear of the change with their next refresh.

    Raises TypeError when a topic is no text.
    """
    _check(topics)

    if not _on_commit(topics, using):
        _send(topics)


async def apublish(*topics: str, using: str | None = None) -> None:
    """As `publish`, from async code; returns when the message was sent, which takes
    about a second at worst."""
    _check(topics)

    # The transaction, if there is one, is that of the thread of the request.
    if not await sync_to_async(_on_commit)(topics, using):
        for topic in topics:
            await hub.publish(group_of(topic), _message(topic))


def topics_for(*models: type[Model]) -> tuple[str, ...]:
    """The topics of these models, which are published from here on in this process
    whenever a row of theirs is saved or deleted, or its many-to-many relations change:

        lazy(self.get_orders, topics=topics_for(Order))

    Bulk writes of this package publish them in every process. What sends no signals,
    such as `QuerySet.update()`, does not: `publish(*topics_for(Order))` does.
    """
    for model in models:
        _hook(model._meta.concrete_model or model)

    return tuple(map(topic_of, models))


def topic_of(model: type[Model]) -> str:
    return (model._meta.concrete_model or model)._meta.label_lower


def publish_model(model: type[Model], *, using: str) -> None:
    """Say on commit that rows of `model` were written without signals."""
    publish(*{topic_of(relative) for relative in _lineage(model)}, using=using)


def group_of(topic: str) -> str:
    """The name of the topic's group (see `hub`)."""
    return f"topic.{topic}"


def _check(topics: Iterable[Any]) -> None:
    for topic in topics:
        if not isinstance(topic, str) or not topic:
            raise TypeError(
                f"publish({topic!r}): a topic is a text, such as 'orders'. For a "
                "model write publish(*topics_for(Order))."
            )


def _on_commit(topics: tuple[str, ...], using: str | None) -> bool:
    """Whether there is a transaction, at whose end they will be sent."""
    found = False

    for connection in connections.all(initialized_only=True):
        if connection.in_atomic_block and using in (None, connection.alias):
            _pending(connection).topics |= dict.fromkeys(topics)
            found = True

    return found


class _Pending:
    """Topics that are published on commit: few, however many rows were saved."""

    def __init__(self) -> None:
        self.topics: dict[str, None] = {}

    def __call__(self) -> None:
        _send(self.topics)


def _pending(connection: BaseDatabaseWrapper) -> _Pending:
    """What is registered last, if it shares the fate of what is registered now."""
    if connection.run_on_commit:
        savepoints, registered = connection.run_on_commit[-1][:2]
        same = savepoints == set(connection.savepoint_ids)

        if same and isinstance(registered, _Pending):
            return registered

    pending = _Pending()
    transaction.on_commit(pending, using=connection.alias, robust=True)

    return pending


def _send(topics: Iterable[str]) -> None:
    for topic in topics:
        publishing.send(group_of(topic), _message(topic))


def _message(topic: str) -> Mapping[str, str]:
    return {"topic": topic}


@functools.cache
def _hook(model: type[Model]) -> None:
    """Publish the topic of a concrete model whenever its rows change."""
    topic = topic_of(model)

    def publish_saved(*, using: str, **_: Any) -> None:
        publish(topic, using=using)

    def publish_related(*, action: str, using: str, **_: Any) -> None:
        if action in M2M_ACTIONS:
            publish(topic, using=using)

    for relative in _lineage(model):
        for signal in (post_save, post_delete):
            signal.connect(publish_saved, sender=relative, weak=False)

    for through in _throughs(model):
        m2m_changed.connect(publish_related, sender=through, weak=False)


def _lineage(model: type[Model]) -> Iterator[type[Model]]:
    """The models whose rows have a share in those of `model`: itself, its proxies, its
    parents and its children."""
    for other in apps.get_models(include_auto_created=True):
        if issubclass(other, model) or issubclass(model, other):
            yield other


def _throughs(model: type[Model]) -> Iterator[type[Model]]:
    for field in model._meta.get_fields(include_hidden=True):
        if field.many_to_many:
            relation: Any = field.remote_field if field.concrete else field
            yield relation.through
