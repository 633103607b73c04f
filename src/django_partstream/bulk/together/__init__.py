"""Rows of which none needs a look at each: a block of them, column by column."""

from .together import Together

__all__ = ("Together",)
