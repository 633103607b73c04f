"""`settings.PARTSTREAM`, read once into one frozen, typed value.

`conf.current()` is the only way in. It is read anew after `override_settings`.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from . import legacy

__all__ = ("QueueName", "Settings", "current", "problems")

#: Or the dotted path of a class.
QueueName = Literal["embedded", "database", "arq"]

MIB = 1024 * 1024

#: Headers that no job may keep.
CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})

#: The states in which a job is kept.
FINISHED = ("SUCCESS", "FAILURE", "CANCELLED")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The `PARTSTREAM` dict, each key in lower case. Seconds, bytes and rows."""

    #: Where jobs run: in the ASGI process, in `partstream_worker` processes that
    #: poll the table, or on arq workers; or the dotted path of a `jobs.queue.Queue`.
    #: Default: arq when REDIS_URL is set.
    queue: QueueName | str = "embedded"
    #: For arq. The channel layer has its own setting, CHANNEL_LAYERS.
    redis_url: str | None = None

    #: Rows that are validated and written together.
    batch_size: int = 2_000
    #: Rows that a request answers at once; more become a job.
    sync_max_rows: int = 10_000
    #: The same for `/upsert/`.
    upsert_max_rows: int = 50
    #: How long `/upsert/` may take; None: as long as it takes.
    upsert_timeout_seconds: float | None = None
    #: How long one statement of a bulk request or a job may take, on PostgreSQL,
    #: MariaDB and MySQL; None: what the database says.
    query_timeout_seconds: float | None = None
    max_rows: int = 10_000_000
    max_upload_bytes: int = 1024 * MIB
    #: Of a compressed upload, once it is inflated.
    max_decompressed_bytes: int = 4096 * MIB

    #: Receivers of `pre_save`, `post_save`, `pre_init` and `post_init` that need not
    #: hear of every row: dotted paths of functions, modules or packages.
    ignore_receivers: tuple[str, ...] = ("sentry_sdk",)

    #: A job whose worker has not been heard of for so long is taken over.
    lease_seconds: float = 20.0
    sweep_seconds: float = 10.0
    #: How often a follower re-reads a job's row when no message arrives.
    poll_seconds: float = 5.0
    #: Unfinished jobs of one user, or of all callers without a name; one more is
    #: answered 429.
    jobs_per_user: int = 20
    #: How long a finished job, its input and its outcome are kept: for all, or a dict
    #: with a number for each of SUCCESS, FAILURE and CANCELLED.
    result_ttl_seconds: float | Mapping[str, float] = 7 * 86400.0
    #: How long a request may be held that asks for it with `Prefer: wait=N`.
    max_wait_seconds: float = 30.0
    #: The alias in STORAGES that inputs of jobs go to, which must be private and
    #: shared by all hosts; None: they go to the database.
    input_storage: str | None = None
    #: Headers of the request that a view may read again in a worker, beside Accept
    #: and Accept-Language. Never credentials.
    job_headers: tuple[str, ...] = ()

    chunk_size: int = 2
    max_chunk_size: int = 100
    cursor_ttl_seconds: float = 3600.0
    max_parts: int = 100
    #: Per stream.
    max_running_parts: int = 32
    #: Per process: threads, and so connections, of sync parts.
    threads: int = dataclasses.field(
        default_factory=lambda: min(8, 4 + (os.cpu_count() or 1))
    )
    #: Called as `(request, connection)` whenever a thread of ours begins work for a
    #: request, or opens a connection in it: a function, or its dotted path. It may
    #: return a function that undoes what it did; else the connection is closed for
    #: good after that work, so that no other request sees what was set on it.
    connection_setup: Callable[..., Any] | str | None = None
    stream_deadline_seconds: float = 300.0
    #: Per process, over all transports; one more is answered 429.
    streams_per_user: int = 32
    #: Frames of one stream that wait for a slow reader, before its parts wait too.
    stream_queue_frames: int = 16
    #: How often live parts are made again though nobody said that they changed.
    live_refresh_seconds: float = 60.0
    heartbeat_seconds: float = 15.0

    init_timeout_seconds: float = 10.0
    subscriptions_per_socket: int = 32
    send_timeout_seconds: float = 30.0
    #: Headers of `connection_init` that count, beside Authorization and
    #: Accept-Language.
    socket_headers: tuple[str, ...] = ()


NAMES = {field.name.upper(): field for field in dataclasses.fields(Settings)}


@functools.cache
def current() -> Settings:
    """The settings in force. Raises ImproperlyConfigured with all that is wrong."""
    wrong = problems()

    if wrong:
        raise ImproperlyConfigured(" ".join(wrong))

    older = {key: one.value for key, one in legacy.values().items()}
    given = {**older, **_given()}
    values = {NAMES[key].name: value for key, value in given.items()}

    if "queue" not in values and values.get("redis_url"):
        values["queue"] = "arq"

    for name in ("ignore_receivers", "job_headers", "socket_headers"):
        if name in values:
            values[name] = tuple(values[name])

    return Settings(**values)


def problems() -> list[str]:
    """What is wrong with `PARTSTREAM`, a sentence or two for each fault."""
    given = _given()

    if not isinstance(given, dict):
        return [f"PARTSTREAM must be a dict, not {type(given).__name__}."]

    found = [
        _problem(key, value) if key in NAMES else _unknown(key)
        for key, value in given.items()
    ]

    found += [
        f"{one.name} is {one.value!r}; expected {expected}."
        for key, one in legacy.values().items()
        if key not in given and (expected := _expected(key, one.value))
    ]

    if given.get("QUEUE") == "arq" and not given.get("REDIS_URL"):
        found.append(
            "PARTSTREAM['QUEUE'] is 'arq' but PARTSTREAM['REDIS_URL'] is not set. "
            "Set it, for example to 'redis://localhost:6379/0', or choose "
            "'embedded' or 'database'."
        )

    return [problem for problem in found if problem is not None]


def _given() -> Any:
    return getattr(django_settings, "PARTSTREAM", {})


def _unknown(key: object) -> str:
    nearest = difflib.get_close_matches(str(key).upper(), NAMES, n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""

    return f"PARTSTREAM has no key {key!r}.{hint}"


def _problem(key: str, value: Any) -> str | None:
    expected = _expected(key, value)

    return expected and f"PARTSTREAM[{key!r}] is {value!r}; expected {expected}."


def _expected(key: str, value: Any) -> str | None:
    """What should stand there; None where `value` will do."""
    if key in EXPECTED:
        expected, will_do = EXPECTED[key]
        return None if will_do(value) else expected

    seconds = key.endswith("_SECONDS")
    number = (int, float) if seconds else int

    if isinstance(value, bool) or not isinstance(value, number) or not value > 0:
        return "seconds above zero" if seconds else "a whole number above zero"

    return None


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _are_names(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset) and all(
        isinstance(item, str) for item in value
    )


def _are_harmless_names(value: Any) -> bool:
    return _are_names(value) and not CREDENTIALS & {name.lower() for name in value}


def _are_seconds_or_none(value: Any) -> bool:
    return value is None or (not isinstance(value, Mapping) and _is_ttl(value))


def _is_ttl(value: Any) -> bool:
    if isinstance(value, Mapping):
        return value.keys() == set(FINISHED) and all(map(_is_ttl, value.values()))

    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


#: What is expected of a key that is not simply a number, and what will do.
EXPECTED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "QUEUE": (
        f"one of {', '.join(map(repr, get_args(QueueName)))}, or the path of a class",
        lambda value: (
            value in get_args(QueueName) or (isinstance(value, str) and "." in value)
        ),
    ),
    "REDIS_URL": ("a URL or None", _is_text_or_none),
    "CONNECTION_SETUP": (
        "a function of (request, connection), or its dotted path",
        lambda value: _is_text_or_none(value) or callable(value),
    ),
    "INPUT_STORAGE": ("the name of a storage in STORAGES, or None", _is_text_or_none),
    "IGNORE_RECEIVERS": ("a list of names", _are_names),
    "SOCKET_HEADERS": ("a list of names", _are_names),
    "JOB_HEADERS": (
        "a list of names, and none of credentials",
        _are_harmless_names,
    ),
    "QUERY_TIMEOUT_SECONDS": ("seconds above zero, or None", _are_seconds_or_none),
    "UPSERT_TIMEOUT_SECONDS": ("seconds above zero, or None", _are_seconds_or_none),
    "RESULT_TTL_SECONDS": (
        f"seconds above zero, or a dict of them for {', '.join(FINISHED)}",
        _is_ttl,
    ),
}


def _reload(*, setting: str, **_: Any) -> None:
    if setting == "PARTSTREAM" or setting.startswith(legacy.PREFIXES):
        current.cache_clear()


setting_changed.connect(_reload, dispatch_uid="django_partstream.conf")
