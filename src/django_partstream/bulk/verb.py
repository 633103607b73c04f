"""What is done with a row whose key is stored, and with one whose key is not."""

from __future__ import annotations

from enum import StrEnum

__all__ = ("Verb",)


class Verb(StrEnum):
    """The operations on rows, in the words of the wire."""

    #: Every row is new.
    CREATE = "create"
    #: Every row changes a stored one: what it does not say stays.
    UPDATE = "update"
    #: Every row changes a stored one, and says all that is required.
    REPLACE = "replace"
    #: A row with a stored key is an UPDATE, any other a CREATE.
    UPSERT = "upsert"
    #: A row with a stored key is a REPLACE, any other a CREATE.
    PUT = "put"
    DELETE = "delete"

    @property
    def matches(self) -> bool:
        """Whether rows are looked for by their key."""
        return self is not Verb.CREATE

    @property
    def creates(self) -> bool:
        """Whether a row whose key is not stored becomes a new one."""
        return self in (Verb.CREATE, Verb.UPSERT, Verb.PUT)

    @property
    def partial(self) -> bool:
        """Whether a stored row is validated as DRF validates a PATCH."""
        return self in (Verb.UPDATE, Verb.UPSERT)
