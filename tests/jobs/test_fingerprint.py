"""A job whose serializer is another one after a deploy waits, and is never guessed."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from rest_framework import serializers

from django_partstream import fingerprint
from django_partstream.jobs import states
from django_partstream.jobs.execute import SliceEnd
from django_partstream.models import Job, State
from tests.app.models import Contract
from tests.app.serializers import ContractSerializer
from tests.app.views import ContractViewSet
from tests.jobs.conftest import Run

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


class AfterDeploySerializer(ContractSerializer):
    year = serializers.IntegerField(min_value=2000)
    note = serializers.CharField(required=False)

    class Meta(ContractSerializer.Meta):
        fields = ["number", "year", "note"]

    def create(self, validated_data: Any) -> Any:
        validated_data.pop("note", None)

        return super().create(validated_data)


def send(client: Client) -> Job:
    response = client.post(
        "/api/contracts/",
        json.dumps([{"number": "C1", "year": 2024}]),
        content_type="application/json",
        headers={"Prefer": "respond-async"},
    )

    return states.jobs().get(pk=response.json()["task_id"])


def test_a_job_waits_for_the_serializer_that_it_was_sent_to(
    client: Client, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = send(client)

    with monkeypatch.context() as deploy:
        deploy.setattr(ContractViewSet, "serializer_class", AfterDeploySerializer)

        assert run(job) is SliceEnd.POSTPONED

        job.refresh_from_db()
        assert job.state == State.PENDING
        assert job.message == (
            "The serializer has changed since this job was submitted (added: 'note'; "
            "removed: 'amount', 'account'; changed: 'year'). The job goes on when a "
            "worker has the one of then; or under the new one, when an operator "
            f"accepts it: manage.py partstream_jobs retry {job.pk}"
        )
        status = client.get(f"/api/operations/{job.pk}/status/").json()
        assert (status["status"], status["message"]) == ("pending", job.message)
        assert run(job) is SliceEnd.NOT_CLAIMED
        assert not Contract.objects.exists()

    # A worker of before.
    states.jobs().update(not_before=states.after(-1.0))
    assert run(job) is SliceEnd.FINISHED
    assert Contract.objects.get().number == "C1"
    job.refresh_from_db()
    assert job.message == ""


def test_an_operator_accepts_the_new_one(
    client: Client, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = send(client)
    monkeypatch.setattr(ContractViewSet, "serializer_class", AfterDeploySerializer)
    run(job)
    out = StringIO()

    call_command("partstream_jobs", "retry", str(job.pk), stdout=out)

    assert out.getvalue() == f"{job.pk}: goes on under the code that there is now\n"
    assert run(job) is SliceEnd.FINISHED
    assert Contract.objects.get().year == 2024
    # It is held to that one from now on.
    job.refresh_from_db()
    now = fingerprint.fields_of(AfterDeploySerializer())
    assert job.fingerprint == fingerprint.digest(now)


def test_an_operator_runs_failed_rows_again(client: Client, run: Run) -> None:
    Contract.objects.create(number="C1", year=2020)
    job = send(client)
    run(job)
    out = StringIO()

    call_command("partstream_jobs", "retry", str(job.pk), stdout=out)

    new = states.jobs().get(retry_of=job)
    assert out.getvalue() == f"{job.pk}: 1 failed row is run again as {new.pk}\n"


def test_words_and_stored_data_are_no_part_of_it() -> None:
    class One(serializers.Serializer[Any]):
        colour = serializers.ChoiceField(choices=["red"], help_text="Which?")
        shown = serializers.CharField(read_only=True)

    class Other(serializers.Serializer[Any]):
        colour = serializers.ChoiceField(choices=["red", "blue"], label="Colour")

    class Third(serializers.Serializer[Any]):
        colour = serializers.ChoiceField(choices=["red"], allow_blank=True)

    one, other, third = map(fingerprint.fields_of, (One(), Other(), Third()))

    assert one == other
    assert fingerprint.digest(one) == fingerprint.digest(other)
    assert fingerprint.difference(one, third) == "changed: 'colour'"


def test_fields_within_fields_count() -> None:
    class Inner(serializers.Serializer[Any]):
        size = serializers.IntegerField()

    class Wider(serializers.Serializer[Any]):
        size = serializers.IntegerField(max_value=3)

    class One(serializers.Serializer[Any]):
        boxes = Inner(many=True)

    class Other(serializers.Serializer[Any]):
        boxes = Wider(many=True)

    assert fingerprint.fields_of(One()) != fingerprint.fields_of(Other())
