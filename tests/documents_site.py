"""What DOCUMENT shows, as a site: `uvicorn tests.documents_site:application`."""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any

from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")

from tests import documents


def site(document: str) -> Any:
    """The module of a document in the reader's project, whose app is `shop`."""
    from tests.app import models
    from tests.guide import serializers

    for name, content in (("models", models), ("serializers", serializers)):
        module: Any = ModuleType(f"shop.{name}")
        module.__dict__.update(
            {
                key: value
                for key, value in vars(content).items()
                if not key.startswith("__")
            }
        )
        sys.modules.setdefault("shop", ModuleType("shop"))
        sys.modules.setdefault(f"shop.{name}", module)

    return documents.run_python(document)


if "DOCUMENT" in os.environ:
    from django_partstream.asgi import get_application

    application = get_application()
    settings.ROOT_URLCONF = site(os.environ["DOCUMENT"])
