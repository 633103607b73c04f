"""Fixtures for the tests of jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from django_partstream.jobs.execute import Pace, SliceEnd, run_slice
from django_partstream.models import Job
from tests.jobs.work import GroupWork

Run = Callable[..., SliceEnd]


@pytest.fixture(autouse=True)
def plain_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GroupWork, "before", staticmethod(lambda number: None))


@pytest.fixture
def run() -> Run:
    def run(job: Job, **options: Any) -> SliceEnd:
        return run_slice(
            job.pk,
            worker=options.pop("worker", "test:1"),
            pace=options.pop("pace", Pace(commit=0.01)),
            stopping=options.pop("stopping", lambda: False),
            on_change=options.pop("on_change", lambda job: None),
        )

    return run
