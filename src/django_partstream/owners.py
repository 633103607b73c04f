"""Who owns what a request leaves behind: a user of the database, or nobody.

Some authentications make users of their own, known by a token alone. Such a user has
no row that a job could refer to, and its number may be another's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model

from .errors import JobUnavailableError

if TYPE_CHECKING:
    from rest_framework.request import Request

__all__ = ("is_nobody", "is_stored", "owner_of")


def owner_of(request: Request) -> Any:
    """The user of the request; None where it is anonymous.

    Raises JobUnavailableError for a user that is not in the database.
    """
    user = request.user

    if is_nobody(user):
        return None

    if not is_stored(user):
        raise JobUnavailableError(
            f"The request's user is a {type(user).__name__}, which is not in the "
            "database, so that a job could not be theirs. Authenticate with users of "
            f"{get_user_model().__name__}, or set jobs = False on the view."
        )

    return user


def is_nobody(user: Any) -> bool:
    """Whether it is no user, or an anonymous one."""
    return not getattr(user, "is_authenticated", False)


def is_stored(user: Any) -> bool:
    """Whether it is a user of the database."""
    return isinstance(user, get_user_model()) and user.pk is not None
