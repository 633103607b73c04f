"""An application for a server of its own: `uvicorn tests.socket_server:application`."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from django.conf import settings

from django_partstream.asgi import get_application

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
settings.ROOT_URLCONF = "tests.socket_urls"
settings.PARTSTREAM = {"MAX_UPLOAD_BYTES": 1_000_000}
settings.DATA_UPLOAD_MAX_MEMORY_SIZE = None


@contextlib.asynccontextmanager
async def background() -> AsyncIterator[None]:
    sys.stderr.write("background begins\n")
    yield
    sys.stderr.write("background ends\n")


application = get_application(background=background)
