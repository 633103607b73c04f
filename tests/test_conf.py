"""The settings: read once, checked, and named when they are wrong."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from django_partstream import conf


def test_every_key_has_a_default(settings: Any) -> None:
    settings.PARTSTREAM = {}

    assert conf.current().queue == "embedded"
    assert conf.current().chunk_size == 2
    assert conf.current().threads <= 8


def test_a_redis_url_chooses_arq(settings: Any) -> None:
    settings.PARTSTREAM = {"REDIS_URL": "redis://localhost:6379/0"}

    assert conf.current().queue == "arq"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["QUEUE"], "PARTSTREAM must be a dict, not list."),
        (
            {"BATCHSIZE": 1},
            "PARTSTREAM has no key 'BATCHSIZE'. Did you mean 'BATCH_SIZE'?",
        ),
        ({"ZZZ": 1}, "PARTSTREAM has no key 'ZZZ'."),
        (
            {"QUEUE": "celery"},
            (
                "PARTSTREAM['QUEUE'] is 'celery'; expected one of 'embedded', "
                "'database', 'arq', or the path of a class."
            ),
        ),
        (
            {"QUEUE": "arq"},
            (
                "PARTSTREAM['QUEUE'] is 'arq' but PARTSTREAM['REDIS_URL'] is not set. "
                "Set it, for example to 'redis://localhost:6379/0', or choose "
                "'embedded' or 'database'."
            ),
        ),
        (
            {"BATCH_SIZE": 0},
            "PARTSTREAM['BATCH_SIZE'] is 0; expected a whole number above zero.",
        ),
        (
            {"BATCH_SIZE": 1.5},
            "PARTSTREAM['BATCH_SIZE'] is 1.5; expected a whole number above zero.",
        ),
        (
            {"LEASE_SECONDS": True},
            "PARTSTREAM['LEASE_SECONDS'] is True; expected seconds above zero.",
        ),
        (
            {"SOCKET_HEADERS": "X-Tenant"},
            "PARTSTREAM['SOCKET_HEADERS'] is 'X-Tenant'; expected a list of names.",
        ),
        (
            {"REDIS_URL": 7},
            "PARTSTREAM['REDIS_URL'] is 7; expected a URL or None.",
        ),
    ],
)
def test_what_is_wrong_is_said(settings: Any, given: Any, message: str) -> None:
    settings.PARTSTREAM = given

    with pytest.raises(ImproperlyConfigured) as caught:
        conf.current()

    assert str(caught.value) == message


def test_all_that_is_wrong_is_said_at_once(settings: Any) -> None:
    settings.PARTSTREAM = {"THREDS": 4, "CHUNK_SIZE": 3, "BATCH_SIZE": "many"}

    assert conf.problems() == [
        "PARTSTREAM has no key 'THREDS'. Did you mean 'THREADS'?",
        "PARTSTREAM['BATCH_SIZE'] is 'many'; expected a whole number above zero.",
    ]

    with pytest.raises(ImproperlyConfigured) as caught:
        conf.current()

    assert str(caught.value) == " ".join(conf.problems())


def test_manage_check_says_it_too(settings: Any) -> None:
    settings.PARTSTREAM = {"BATCHSIZE": 1}

    with pytest.raises(SystemCheckError, match="Did you mean 'BATCH_SIZE'"):
        call_command("check")
