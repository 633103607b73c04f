"""Checks of where the inputs of jobs are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.core.files.storage import FileSystemStorage, InvalidStorageError, storages

from django_partstream import conf

__all__ = ("check_input_storage",)

HINT = (
    "Name a storage of its own in STORAGES, which no address serves and all hosts "
    "share; or leave INPUT_STORAGE out: inputs then go to the database."
)


def check_input_storage(**_: Any) -> list[CheckMessage]:
    """INPUT_STORAGE is there, and no public folder."""
    if conf.problems() or (alias := conf.current().input_storage) is None:
        return []

    try:
        storage = storages[alias]
    except InvalidStorageError as error:
        return [
            Error(
                f"PARTSTREAM['INPUT_STORAGE'] is {alias!r}, which cannot be used: "
                f"{error}",
                hint=HINT,
                id="partstream.E003",
            )
        ]

    if not isinstance(storage, FileSystemStorage) or not _is_public(storage):
        return []

    return [
        Warning(
            f"PARTSTREAM['INPUT_STORAGE'] is {alias!r}, whose files are in MEDIA_ROOT: "
            "whoever guesses a name there may read what others have uploaded.",
            hint=HINT,
            id="partstream.W010",
        )
    ]


def _is_public(storage: FileSystemStorage) -> bool:
    if not settings.MEDIA_ROOT:
        return False

    media = Path(settings.MEDIA_ROOT).resolve()

    return Path(storage.location).resolve().is_relative_to(media)
