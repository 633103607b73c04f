"""The packages that are measured beside ours, each from the registry into a folder of
its own, so that nobody depends on them."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import subprocess
import sys
from typing import TYPE_CHECKING

from .servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .bulk_asking import Ask

__all__ = ("PEERS", "Peer", "installed")

FOLDER = ROOT / "var" / "peers"
#: In all environments alike.
SHARED = ("Django", "djangorestframework")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A package, what it wants beside what it names, and how it is asked."""

    package: str
    name: str
    extra: tuple[str, ...] = ()
    #: By operation; what is not there, it cannot do, or not at these sizes.
    asks: Mapping[str, Ask]
    #: Only measured with the smaller sizes: each row costs several statements.
    is_slow: bool = False

    @property
    def folder(self) -> str:
        return str(FOLDER / self.name)


def _peers() -> tuple[Peer, ...]:
    from .bulk_asking import Ask

    tasks = {
        "create": Ask("POST", "/peer/{table}/bulk/"),
        "update": Ask("PATCH", "/peer/{table}/bulk/"),
        "delete": Ask("DELETE", "/peer/{table}/bulk/"),
    }

    return (
        Peer(
            package="django-bulk-drf==0.2.91",
            name="bulk-drf-0.2.91",
            asks={
                "create": Ask("POST", "/peer/{table}/"),
                "upsert": Ask("PATCH", "/peer/{table}/"),
                "update": Ask("PUT", "/peer/{table}/by-key/"),
                "delete": Ask("DELETE", "/peer/{table}/by-key/", keys_as_objects=True),
            },
        ),
        Peer(
            package="django-bulk-drf==0.1.4",
            name="bulk-drf-0.1.4",
            extra=("packaging",),
            asks=tasks,
            is_slow=True,
        ),
        Peer(
            package="django-drf-extensions==0.1.68",
            name="drf-extensions-0.1.68",
            extra=("packaging",),
            asks={
                **tasks,
                "upsert": Ask("POST", "/peer/{table}/?unique_fields={key}"),
            },
            is_slow=True,
        ),
    )


PEERS = _peers()


def installed() -> tuple[list[Peer], dict[str, str]]:
    """Those that are there, fetched where they were not; of the others, why not."""
    found, missing = [], {}

    for peer in PEERS:
        reason = _install(peer)

        if reason is None:
            found.append(peer)
        else:
            missing[peer.package] = reason

    return found, missing


def _install(peer: Peer) -> str | None:
    folder = FOLDER / peer.name
    stamp = folder / ".installed"

    if stamp.exists():
        return None

    versions = [f"{name}=={importlib.metadata.version(name)}" for name in SHARED]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet"),
            *("--disable-pip-version-check", "--target", str(folder), "--upgrade"),
            *(peer.package, *peer.extra, *versions),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    if done.returncode:
        lines = done.stderr.strip().splitlines()

        return lines[-1] if lines else f"pip ended with {done.returncode}"

    stamp.touch()

    return None
