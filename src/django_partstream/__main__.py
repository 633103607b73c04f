"""`python -m django_partstream load URL FILE`: without settings, from any machine."""

from __future__ import annotations

import sys

from django_partstream.loading.command import main

__all__ = ()

if __name__ == "__main__":
    sys.exit(main())
