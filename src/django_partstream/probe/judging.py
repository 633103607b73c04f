"""What the times of frames say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .reading import Arrival, Reading

__all__ = ("Verdict", "judge", "judge_reading")

Verdict = Literal[
    "streaming",
    "held back",
    "compressed",
    "truncated",
    "not a stream",
    "refused",
    "unreachable",
    "too quick to tell",
]

#: Work that is shorter tells nothing: it drowns in the way to us.
TELLING_SECONDS = 0.1
#: Frames that came within this came together.
TOGETHER_SECONDS = 0.01


def judge_reading(
    reading: Reading, arrivals: Sequence[Arrival], *, max_running: int
) -> tuple[Verdict, str]:
    """What to say of a body that was read."""
    if reading.encoding != "identity":
        how, reason = judge(arrivals, max_running=max_running)

        return "compressed", (
            f"something on the way made {reading.encoding} of it in spite of "
            f"no-transform; as for the frames, {how}: {reason}"
        )

    if reading.no_frame is not None:
        return "not a stream", f"this is no frame: {reading.no_frame}"

    ended = bool(arrivals) and arrivals[-1].frame["type"] == "end"

    if not ended and not reading.open:
        what = "in the middle of a frame" if reading.cut else "between two frames"

        return "truncated", f"the connection was closed {what}, before an end frame"

    verdict, reason = judge(arrivals, max_running=max_running)

    return verdict, reason + ("; it is still open" if reading.open else "")


def judge(arrivals: Sequence[Arrival], *, max_running: int = 32) -> tuple[Verdict, str]:
    """What the times of these frames say, and why.

    Parts begin when the stream does, so that a frame comes as long after `start` as
    its work took. Where all come at once although their work differs, or one came
    late and together with longer work, something held them back.
    """
    reads = _reads(arrivals)
    span = arrivals[-1].at - arrivals[0].at if arrivals else 0.0
    came = f"{len(arrivals)} frames came in {len(reads)} lots over {_ms(span)}"
    worked = [arrival for arrival in arrivals if arrival.work is not None]
    longest = max((arrival.work or 0.0 for arrival in worked), default=0.0)

    if longest < TELLING_SECONDS:
        # Of a job, or a live view: nothing but the time between frames speaks.
        if span >= TELLING_SECONDS:
            return "streaming", came

        return "too quick to tell", (
            f"{came}, and no part took {_ms(TELLING_SECONDS)}. Probe a view with a "
            "part that takes longer"
        )

    if span < longest / 2:
        return "held back", f"{came}, but the longest work took {_ms(longest)}"

    # With more parts than that some begin late, and only the server knows which.
    late = _late(reads, arrivals[0].at) if len(worked) <= max_running else []

    if late:
        return "held back", (
            f"{len(late)} of {len(worked)} parts came late and with longer ones; the "
            f"first is {late[0].frame.get('name')!r}, which came "
            f"{_ms(late[0].at)} after the request for {_ms(late[0].work or 0)} of work"
        )

    return "streaming", f"{came}, as long as the work of {_ms(longest)} would have it"


def _reads(arrivals: Sequence[Arrival]) -> list[list[Arrival]]:
    reads: list[list[Arrival]] = []

    for arrival in arrivals:
        if reads and arrival.at - reads[-1][-1].at < TOGETHER_SECONDS:
            reads[-1].append(arrival)
        else:
            reads.append([arrival])

    return reads


def _late(reads: Sequence[Sequence[Arrival]], start: float) -> list[Arrival]:
    late = []

    for read in reads:
        longest = max((arrival.work or 0.0 for arrival in read), default=0.0)
        late += [
            arrival
            for arrival in read
            if arrival.work is not None
            and longest - arrival.work > TELLING_SECONDS
            and arrival.at - start - arrival.work > TELLING_SECONDS
        ]

    return late


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms"
