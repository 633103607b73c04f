"""Filters that a client sends: names and look-ups of a view's own choice, and nothing
that reaches the ORM as it came."""

from __future__ import annotations

from .narrowing import narrowed

__all__ = ("narrowed",)
