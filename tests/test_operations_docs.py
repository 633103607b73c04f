"""What `docs/operations.md` says is so."""

from __future__ import annotations

import logging
import re

import pytest
from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core import checks
from prometheus_client import CollectorRegistry, generate_latest

from django_partstream import PartEvent, conf, unobserve
from django_partstream.contrib import prometheus
from django_partstream.management.commands.partstream_probe import EXIT_CODES
from django_partstream.parts.observer import notify
from tests import documents

DOCUMENT = "docs/operations.md"
TEXT = (documents.ROOT / DOCUMENT).read_text(encoding="utf-8")
#: Its default depends on the machine.
THREADS = "cores + 4, at most 8"


@pytest.fixture
def module():
    """The Python of the document, as one module."""
    made = documents.run_python(DOCUMENT)
    yield made
    unobserve(made.log_slow_parts)


def test_every_setting_is_listed_with_its_default():
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \|", TEXT, re.MULTILINE)
    defaults = {
        name: repr(getattr(conf.Settings(), field.name))
        for name, field in conf.NAMES.items()
    }

    assert {name: text.strip("`").replace('"', "'") for name, text in rows} == {
        **defaults,
        "THREADS": THREADS,
    }
    assert [name for name, _ in rows] == list(conf.NAMES)


def test_the_python_runs_and_makes_a_project_that_no_check_minds(module, settings):
    settings.CHANNEL_LAYERS = module.CHANNEL_LAYERS
    settings.PARTSTREAM = {"QUEUE": "database"}
    pool = module.DATABASES["default"]["OPTIONS"]["pool"]

    assert callable(module.application)
    assert pool["max_size"] == conf.Settings().threads + 1
    assert "partstream.W006" not in {
        message.id for message in checks.run_checks(tags=["partstream"])
    }
    assert django_settings.CHANNEL_LAYERS is module.CHANNEL_LAYERS


def test_the_observer_tells_of_slow_parts(module, caplog):
    slow = PartEvent(kind="finished", view="shop.views.Home", part="orders", ms=1500.0)

    with caplog.at_level(logging.WARNING):
        notify(PartEvent(kind="started", view="shop.views.Home", part="orders"))
        notify(slow)

    assert caplog.messages == ["orders of shop.views.Home took 1500 ms"]


def test_the_one_line_enables_the_metrics(module, monkeypatch):
    enabled = []
    monkeypatch.setattr(prometheus, "enable", lambda: enabled.append(True))

    assert issubclass(module.ShopConfig, AppConfig)

    module.ShopConfig.ready(object())

    assert enabled == [True]


def test_every_metric_is_listed():
    registry = CollectorRegistry()
    unobserve(prometheus.enable(registry))
    text = generate_latest(registry).decode()
    made = set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))
    shown = TEXT.replace("…_waiting", "partstream_thread_calls_waiting").replace(
        "…_abandoned", "partstream_thread_calls_abandoned"
    )

    assert made == set(re.findall(r"`(partstream_(?!worker|probe)\w+)`", shown))


def test_every_exit_code_of_the_probe_is_listed():
    for verdict, code in EXIT_CODES.items():
        assert re.search(rf"{code} (for )?\*{verdict}\*", TEXT.replace("\n", " "))
