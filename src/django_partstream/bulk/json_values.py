"""JSON as this package takes it: no NaN, and objects for rows."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from rest_framework.serializers import Serializer

from .outcome import RowError

__all__ = ("DECODER", "ConstantError", "decode", "not_an_object")


class ConstantError(Exception):
    """NaN or Infinity, which Python reads and JSON does not have."""


def _refuse(constant: str) -> NoReturn:
    raise ConstantError(constant)


DECODER = json.JSONDecoder(parse_constant=_refuse)

#: One JSON value. Raises ValueError, ConstantError and RecursionError.
decode = DECODER.decode


def not_an_object(value: Any) -> tuple[RowError, ...]:
    """What DRF says of a row that is no object; nothing of one that is."""
    if isinstance(value, dict):
        return ()

    message = Serializer.default_error_messages["invalid"]

    return (RowError("", "invalid", message.format(datatype=type(value).__name__)),)
