"""The further addresses of a collection, in the form of the extra actions that every
router of DRF's kind asks a viewset for. No router of ours is needed."""

from __future__ import annotations

import dataclasses
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("ACTIONS", "ASYNC_ACTIONS", "Address", "Purpose", "addresses", "has_action")

#: What DRF calls the methods of a viewset, and what adrf does.
ACTIONS = {
    "get": "list",
    "post": "create",
    "put": "update",
    "patch": "partial_update",
    "delete": "destroy",
}
ASYNC_ACTIONS = {
    "get": "alist",
    "post": "acreate",
    "put": "aupdate",
    "patch": "partial_aupdate",
    "delete": "adestroy",
}


class Purpose(StrEnum):
    """What is done at an address beside the collection's own."""

    #: Jobs.
    OPERATIONS = "operations"
    #: A few rows, now or not at all.
    UPSERT = "upsert"
    #: What `GET` does at the address of jobs, asked by `POST`.
    QUERY = "query"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Address:
    """What a router reads of a method with DRF's `@action`."""

    url_path: str
    url_name: str
    #: Method and action; what `view.action` will be.
    mapping: Mapping[str, str]
    kwargs: Mapping[str, Any]
    detail: bool = False

    @property
    def __name__(self) -> str:
        return self.url_name.replace("-", "_")


def has_action(cls: type, method: str) -> bool:
    """Whether a viewset has such a method at its own addresses."""
    return hasattr(cls, ACTIONS[method]) or hasattr(cls, ASYNC_ACTIONS[method])


def addresses(cls: Any, methods: Mapping[str, set[str]]) -> list[Address]:
    """The addresses of a viewset: `methods` has those of each path.

    The action of a method is DRF's, so that a router which knows other names for them
    (adrf's) finds it; where the viewset has none of this name, it is one of ours.
    """
    return [
        address
        for path, allowed in methods.items()
        if allowed
        for address in _of_path(cls, path, allowed)
    ]


def _of_path(cls: Any, path: str, allowed: set[str]) -> list[Address]:
    purpose = Purpose.UPSERT if path == "upsert" else Purpose.OPERATIONS
    mapping = {method: _action(cls, method) for method in ACTIONS if method in allowed}
    found = [
        Address(
            url_path=path,
            url_name=path,
            mapping=mapping,
            kwargs={"name": path.capitalize(), "bulk_purpose": purpose},
        )
    ]

    if "get" in allowed:
        found.append(
            Address(
                url_path=f"{path}/query",
                url_name=f"{path}-query",
                mapping={"post": mapping["get"]},
                kwargs={"name": "Query", "bulk_purpose": Purpose.QUERY},
            )
        )

    return found


def _action(cls: Any, method: str) -> str:
    name = ACTIONS[method]

    return name if hasattr(cls, name) else f"_serve_{name}"
