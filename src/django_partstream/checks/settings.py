"""Checks of `PARTSTREAM`, and of CHANNEL_LAYERS beside it."""

from __future__ import annotations

import inspect
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.utils.module_loading import import_string

from django_partstream import conf

from . import project

__all__ = ("check_channel_layer", "check_connection_setup", "check_settings")

IN_MEMORY = "channels.layers.InMemoryChannelLayer"


def check_settings(**_: Any) -> list[CheckMessage]:
    """`PARTSTREAM` can be read."""
    return [
        Error(problem, hint="Correct PARTSTREAM in the settings.", id="partstream.E001")
        for problem in conf.problems()
    ]


def check_connection_setup(**_: Any) -> list[CheckMessage]:
    """CONNECTION_SETUP is a function of two arguments."""
    if conf.problems() or not (setup := conf.current().connection_setup):
        return []

    try:
        fn = import_string(setup) if isinstance(setup, str) else setup
        inspect.signature(fn).bind(None, None)
    except (ImportError, TypeError, ValueError) as error:
        return [
            Error(
                f"PARTSTREAM['CONNECTION_SETUP'] is {setup!r}, which cannot be used: "
                f"{error}.",
                hint="Name a function of two arguments, for example "
                "'shop.tenants.set_tenant' for def set_tenant(request, connection).",
                id="partstream.E002",
            )
        ]

    return []


def check_channel_layer(**_: Any) -> list[CheckMessage]:
    """What one process publishes reaches the others."""
    why = project.why_several_processes()

    if why is None:
        return []

    layers = getattr(settings, "CHANNEL_LAYERS", {})
    backend = layers.get("default", {}).get("BACKEND")

    if backend not in (None, IN_MEMORY):
        return []

    what = "There is no default channel layer"

    if backend is not None:
        what = "The default channel layer stays within its process"

    return [
        Warning(
            f"{what}, but {why}: the progress of jobs reaches their followers only "
            "every POLL_SECONDS, and publish() reaches no other process.",
            hint='Set CHANNEL_LAYERS = {"default": {"BACKEND": '
            '"channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": '
            '["redis://localhost:6379/0"]}}}.',
            id="partstream.W006",
        )
    ]
