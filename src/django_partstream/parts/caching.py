"""`cached_for`: the value of a part, made once for some time."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

from django_partstream import offload
from django_partstream.errors import PartTypeError

from . import observer
from .cache_key import cache_key, check_is_told_apart, request_of
from .composed import Composed, call, finish, resolve
from .declared import check_function, check_seconds, name_of
from .evaluating import is_pending
from .flights import HANDED_OVER, Flight, Flights
from .shelf import Claimed, Entry, Shelf, Taken

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Cached", "Vary", "cached_for", "not_older_than")

F = TypeVar("F", bound=Callable[..., Any])

#: For whom a value is good: each user apart, everybody, or all for whom the function
#: gives the same plain value.
Vary = Literal["user", "public"] | Callable[[Any], Any]

#: How long a value is awaited that another process makes, before it is made here too.
WAIT_SECONDS: Final = 10.0
FIRST_LOOK_SECONDS: Final = 0.02
LOOK_SECONDS: Final = 0.25
RELEASE_SECONDS: Final = 2.0

_flights = Flights()
_shelf = Shelf()
#: The keys that are made around this.
_making: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar(
    "django_partstream.making", default=frozenset()
)
_not_before: contextvars.ContextVar[float] = contextvars.ContextVar(
    "django_partstream.not_before", default=0.0
)


@contextlib.contextmanager
def not_older_than(moment: float) -> Iterator[None]:
    """Let cached parts inside take no value whose work began before `moment`
    (`time.time()`): it may not have seen what changed then."""
    token = _not_before.set(moment)

    try:
        yield
    finally:
        _not_before.reset(token)


def cached_for(ttl: float, vary: Vary = "user") -> Callable[[F], F]:
    """Keep what the function gives for `ttl` seconds in the default cache.

        @cached_for(300)
        def get_totals(self, request): ...

        lazy(cached_for(300, vary="public")(self.get_totals))

    Each user has values of their own, anonymous visitors one for each session.
    `vary="public"` shares them with everybody; a function of the request shares them
    among those for whom it returns the same. Beside that the key holds the function
    with what it closes over, its arguments, the view, its path and URL arguments, the
    query, host, API version, language and time zone. None is kept too, an error is
    not. Of parts that ask at once one computes and the others await it; called from
    sync code it never waits. Treat the value as read-only.

    Raises TypeError or ValueError for what cannot be, where it is declared.
    """
    if callable(ttl):
        raise PartTypeError("cached_for() needs seconds: @cached_for(300).")

    check_seconds(f"cached_for({ttl!r})", ttl)
    _check_vary(vary)

    return functools.partial(_cached, ttl, vary)


def _cached(ttl: float, vary: Vary, fn: Any) -> Any:
    check_function("cached_for", fn)

    return Cached(fn, ttl, vary)


def _check_vary(vary: Any) -> None:
    if vary in ("user", "public"):
        return

    if not callable(vary) or isinstance(vary, type):
        raise PartTypeError(
            f"cached_for(vary={vary!r}): expected 'user', 'public', or a function of "
            "the request."
        )

    if inspect.iscoroutinefunction(vary):
        raise PartTypeError(
            f"cached_for(vary={name_of(vary)}): the function is async; expected a sync "
            "one."
        )

    try:
        inspect.signature(vary).bind(None)
    except TypeError as error:
        raise PartTypeError(
            f"cached_for(vary={name_of(vary)}): the function is called with the "
            f"request, but it takes {inspect.signature(vary)}."
        ) from error


class Cached(Composed):
    """See `cached_for`."""

    def __init__(self, fn: Callable[..., Any], ttl: float, vary: Vary) -> None:
        super().__init__(fn)
        self.ttl = ttl
        self.vary = vary

    def around(self, fn: Callable[..., Any]) -> Self:
        return type(self)(fn, self.ttl, self.vary)

    def options(self) -> tuple[Any, ...]:
        return (self.fn, self.ttl, self.vary)

    def check(self) -> None:
        super().check()
        check_is_told_apart(self.fn)

    async def resolve(self, *args: Any, **kwargs: Any) -> Any:
        if callable(self.vary):
            # It may ask the database.
            key = await offload.run_here(self.key, args, kwargs)
        else:
            key = self.key(args, kwargs)

        if key in _making.get():
            raise RecursionError(f"cached_for: {name_of(self.fn)} waits for itself.")

        not_before = _not_before.get()

        while True:
            flight, leads = _flights.join(key, not_before=not_before)

            if leads:
                return _told(await self._lead(flight, key, args, kwargs))

            landed = await flight.follow()

            # What its leader found in the cache may be too old for this one.
            if landed is not HANDED_OVER and landed[0].began >= not_before:
                return _told(landed)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        key = self.key(args, kwargs)
        entry = _shelf.get(key, not_before=_not_before.get())

        if entry is not None:
            return _told((entry, True))

        began = time.time()
        value = call(self.fn, *args, **kwargs)

        if is_pending(value):
            return self._keep_awaited(key, began, value)

        _shelf.put(key, Entry(value, began), self.ttl)

        return value

    def key(self, args: Any, kwargs: Any) -> str:
        """Where the value for these arguments is kept."""
        request = request_of(self.fn, args, kwargs)
        who = self.vary(request) if callable(self.vary) else _who(self.vary, request)

        return cache_key(self.fn, args, kwargs, who)

    async def _keep_awaited(self, key: str, began: float, value: Any) -> Any:
        value = await finish(value)
        await offload.run_here(_shelf.put, key, Entry(value, began), self.ttl)

        return value

    async def _lead(
        self, flight: Flight, key: str, args: Any, kwargs: Any
    ) -> tuple[Entry, bool]:
        """The entry for this part and its followers, and whether it was there. Ended
        before there is one, it leaves both to the next follower."""
        landed: tuple[Entry, bool] | None = None
        kept = False

        try:
            entry = await _found_or_claimed(key, _not_before.get())

            if entry is not None:
                landed = (entry, True)
            else:
                made = await self._made(key, args, kwargs)
                landed = (made, False)
                await offload.run_here(_shelf.put, key, made, self.ttl)

            kept = True
        except Exception as error:
            _flights.leave(key, flight)
            flight.crash(error)
            raise
        except BaseException:
            # Perhaps while a value that is good already was put away.
            _flights.leave(key, flight)
            flight.land(landed or HANDED_OVER)
            raise
        else:
            _flights.leave(key, flight)
            flight.land(landed)

            return landed
        finally:
            if not kept and key not in _flights:
                await _release(key)

    async def _made(self, key: str, args: Any, kwargs: Any) -> Entry:
        began = time.time()
        token = _making.set(_making.get() | {key})

        try:
            return Entry(await resolve(self.fn, *args, **kwargs), began)
        finally:
            _making.reset(token)


def _told(landed: tuple[Entry, bool]) -> Any:
    entry, was_there = landed

    if was_there:
        observer.mark_cached()

    return entry.value


async def _found_or_claimed(key: str, not_before: float) -> Entry | None:
    """The entry, perhaps of another process that is awaited for a while; None where
    it is to be made here."""
    loop = asyncio.get_running_loop()
    patience, pause = loop.time() + WAIT_SECONDS, FIRST_LOOK_SECONDS

    while True:
        found = await offload.run_here(_shelf.get_or_claim, key, not_before=not_before)

        if isinstance(found, Entry):
            return found

        if isinstance(found, Claimed) or _too_early(found, not_before):
            return None

        if loop.time() + pause > patience:
            return None

        await asyncio.sleep(pause)
        pause = min(2 * pause, LOOK_SECONDS)


def _too_early(taken: Taken, not_before: float) -> bool:
    return taken.since < not_before


async def _release(key: str) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(RELEASE_SECONDS):
            await offload.run_here(_shelf.release, key)


def _who(vary: Any, request: Any) -> Any:
    if vary == "public":
        return "public"

    if request is None:
        return "no request"

    user = getattr(request, "user", None)

    if user is None or not user.is_authenticated:
        # What a session holds is a visitor's own.
        session = getattr(request, "session", None)

        return ("anonymous", getattr(session, "session_key", None))

    if user.pk is None:
        raise PartTypeError(
            f"cached_for(vary='user'): {type(user).__name__} has no primary key to "
            "tell users apart. Give cached_for(vary=…) a function of the request."
        )

    return ("user", user.__class__, user.pk)
