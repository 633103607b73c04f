"""Django's command line for the example; works from any directory."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    # A script's own folder comes first on the path. There the example's modules
    # would be importable under a second name; the folder above is what we need.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "asgi_example.settings")

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
