"""Jobs and workers in Django's admin."""

from __future__ import annotations

import re
import zlib
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core import checks
from django.urls import reverse

from django_partstream import admin
from django_partstream.errors import BusyError
from django_partstream.jobs import states
from django_partstream.jobs.execute import Pace, run_slice
from django_partstream.jobs.failed_rows import FailedRows
from django_partstream.models import Job, JobBatch, JobInput, State, Worker
from tests.jobs.work import KIND, make_job, written

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.admin_urls"),
]

JOBS = "/admin/partstream/job/"


def run(job: Job) -> None:
    run_slice(
        job.pk,
        worker="test:1",
        pace=Pace(commit=0.01),
        stopping=lambda: False,
        on_change=lambda job: None,
    )


@pytest.fixture
def staff(client: Any) -> Any:
    """Signs somebody in who may do this: `staff("view", "change")`."""

    def sign_in(*actions: str) -> Any:
        user = get_user_model().objects.create_user("ada", is_staff=True)
        names = [f"{action}_{model}" for action in actions for model in MODELS]
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        client.force_login(user)

        return client

    return sign_in


MODELS = ("job", "worker")


def test_admin_is_configured_as_django_wants_it() -> None:
    found = checks.run_checks(tags=["admin"])

    assert [message for message in found if "partstream" in str(message.obj)] == []


def test_the_list_shows_how_far_jobs_are(staff: Any) -> None:
    owner = get_user_model().objects.create_user("grace")
    run(make_job(35, owner=owner))
    make_job(5)

    text = staff("view").get(JOBS).content.decode()

    assert '<progress max="100" value="100.0">100.0 %</progress> 35 / 35' in text
    assert '<progress max="100" value="0.0">0.0 %</progress> 0 / 5' in text
    assert "grace" in text
    assert "2 jobs" in text


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("?state__exact=SUCCESS", 1),
        ("?state__exact=CANCELLED", 0),
        (f"?kind={KIND}", 2),
        ("?q=grace", 1),
        ("?q={pk}", 1),
        ("?q=nobody", 0),
    ],
)
def test_the_list_is_filtered_and_searched(staff: Any, query: str, count: int) -> None:
    job = make_job(5, owner=get_user_model().objects.create_user("grace"))
    run(job)
    make_job(5)

    text = staff("view").get(JOBS + query.format(pk=job.pk)).content.decode()

    assert len(re.findall(r'<th class="field-id">', text)) == count


def test_the_list_takes_as_many_queries_for_ten_jobs_as_for_one(
    staff: Any, django_assert_max_num_queries: Any
) -> None:
    client = staff("view", "change")
    users = get_user_model().objects
    make_job(5, owner=users.create_user("owner"), spec={"large": "x" * 1000})

    with django_assert_max_num_queries(20) as one:
        client.get(JOBS)

    for number in range(9):
        make_job(5, owner=users.create_user(f"owner-{number}"))

    with django_assert_max_num_queries(20) as ten:
        client.get(JOBS)

    assert len(ten.captured_queries) == len(one.captured_queries)


@pytest.mark.parametrize("address", [JOBS, JOBS + "{pk}/change/"])
def test_large_columns_are_never_read(
    staff: Any, address: str, django_assert_max_num_queries: Any
) -> None:
    job = make_job(5)
    client = staff("view", "change", "delete")

    with django_assert_max_num_queries(20) as queries:
        assert client.get(address.format(pk=job.pk)).status_code == 200

    read = " ".join(query["sql"] for query in queries.captured_queries)
    assert f'"{Job._meta.db_table}"."state"' in read

    for column in admin.LEFT:
        assert f'"{column}"' not in read

    assert f'"{JobInput._meta.db_table}"' not in read


def test_a_job_is_shown_and_cannot_be_changed_or_added(staff: Any) -> None:
    job = make_job(35)
    run(job)
    retry = make_job(5, retry_of=job)
    client = staff("view", "change", "add", "delete")

    text = client.get(f"{JOBS}{job.pk}/change/").content.decode()

    assert f'href="{JOBS}{job.pk}/errors/"' in text
    assert 'name="_save"' not in text
    assert (
        "<input"
        not in text.partition('<div class="submit-row">')[0].partition("<fieldset")[2]
    )
    assert client.get(f"{JOBS}add/").status_code == 403
    assert client.post(f"{JOBS}{job.pk}/change/", {"state": "FAILURE"}).status_code in (
        302,
        403,
    )
    assert states.jobs().get(pk=job.pk).state == State.SUCCESS
    assert f'href="{JOBS}{job.pk}/change/"' in (
        client.get(f"{JOBS}{retry.pk}/change/").content.decode()
    )


def test_whoever_may_change_jobs_cancels_them(staff: Any) -> None:
    job, ended = make_job(35), make_job(5)
    run(ended)
    client = staff("view", "change")

    response = client.post(
        JOBS,
        {"action": "cancel_jobs", "_selected_action": [job.pk, ended.pk]},
        follow=True,
    )

    text = response.content.decode()
    assert "1 job is cancelled." in text
    assert "1 job had ended already." in text
    assert states.jobs().get(pk=job.pk).state == State.CANCELLED
    assert states.jobs().get(pk=ended.pk).state == State.SUCCESS
    run(job)
    assert written(job) == []


@pytest.mark.parametrize(
    ("became", "text"),
    [
        (State.CANCELLING, "1 job stops after the batch in hand."),
        (BusyError(), "1 job cannot be cancelled now. Try again."),
    ],
)
def test_a_cancel_that_has_to_wait_is_said(
    staff: Any, became: Any, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(job_id: UUID) -> Any:
        if isinstance(became, Exception):
            raise became

        return became

    monkeypatch.setattr(states, "cancel", cancel)
    chosen = {"action": "cancel_jobs", "_selected_action": [make_job(35).pk]}

    response = staff("view", "change").post(JOBS, chosen, follow=True)

    assert text in response.content.decode()


def test_whoever_may_only_look_cancels_nothing(staff: Any) -> None:
    job = make_job(35)
    client = staff("view")

    assert "cancel_jobs" not in client.get(JOBS).content.decode()
    client.post(JOBS, {"action": "cancel_jobs", "_selected_action": [job.pk]})

    assert states.jobs().get(pk=job.pk).state == State.PENDING


@pytest.mark.parametrize("address", ["", "{pk}/change/", "{pk}/errors/"])
def test_whoever_may_not_look_sees_nothing(staff: Any, address: str) -> None:
    job = make_job(5)

    assert staff().get(JOBS + address.format(pk=job.pk)).status_code == 403


def test_who_is_no_staff_is_asked_to_sign_in(client: Any) -> None:
    job = make_job(5)

    for address in (JOBS, f"{JOBS}{job.pk}/errors/"):
        assert client.get(address)["Location"].startswith("/admin/login/")


def test_deleting_takes_the_permission_and_reads_no_input(
    staff: Any, django_assert_max_num_queries: Any
) -> None:
    job, kept = make_job(35), make_job(5)
    run(job)
    JobInput.objects.create(job=job, start=0, size=3, data=b"abc")
    chosen = {"action": "delete_selected", "_selected_action": [str(job.pk)]}
    client = staff("view", "delete")

    with django_assert_max_num_queries(40) as queries:
        asked = client.post(JOBS, chosen).content.decode()
        client.post(JOBS, {**chosen, "post": "yes"})

    assert "Are you sure" in asked
    assert "Pieces of input: 1" in asked
    assert "Batches in the ledger: 4" in asked
    assert [*states.jobs().values_list("pk", flat=True)] == [kept.pk]
    assert not JobBatch.objects.filter(job_id=job.pk).exists()
    read = " ".join(query["sql"] for query in queries.captured_queries)
    assert '"data"' not in read
    assert '"failures"' not in read


def test_whoever_may_change_jobs_runs_their_failed_rows_again(staff: Any) -> None:
    client = staff("view", "change")
    accepted = client.post(
        "/api/contracts/",
        "number,year\nA,2024\nB,soon\n",
        "text/csv",
        headers={"Prefer": "respond-async"},
    )
    job = states.jobs().get(pk=accepted.json()["task_id"])
    other = make_job(5)
    run(job)

    chosen = {"action": "retry_jobs", "_selected_action": [job.pk, other.pk]}
    text = client.post(JOBS, chosen, follow=True).content.decode()

    new = states.jobs().get(retry_of=job)
    assert new.total == 1
    assert f"1 row runs again as {new.pk}." in text
    # The admin begins what it says with a capital, which an id may begin with.
    said = f"{other.pk}: Only the rows of a job that has ended can be run"
    assert said[1:] in text


def test_a_job_that_waits_for_a_deploy_is_let_go_on(staff: Any) -> None:
    client = staff("view", "change")
    job = make_job(5, fingerprint="of then", not_before=states.after(600))
    chosen = {"action": "retry_jobs", "_selected_action": [job.pk]}

    text = client.post(JOBS, chosen, follow=True).content.decode()

    assert f"{job.pk} goes on under the code that there is now."[1:] in text
    assert states.jobs().get(pk=job.pk).not_before is None


def test_whoever_may_not_delete_deletes_nothing(staff: Any) -> None:
    job = make_job(5)
    client = staff("view", "change")

    assert "delete_selected" not in client.get(JOBS).content.decode()
    assert client.post(f"{JOBS}{job.pk}/delete/", {"post": "yes"}).status_code == 403
    assert states.jobs().filter(pk=job.pk).exists()


def test_one_job_is_deleted_too(staff: Any) -> None:
    job = make_job(5)
    client = staff("view", "delete")

    assert client.get(f"{JOBS}{job.pk}/delete/").status_code == 200
    client.post(f"{JOBS}{job.pk}/delete/", {"post": "yes"})

    assert not states.jobs().filter(pk=job.pk).exists()


def test_failed_rows_are_shown_page_by_page(
    staff: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "ERRORS_PER_PAGE", 3)
    job = make_job(35)
    run(job)
    client = staff("view")

    def rows(page: str) -> list[str]:
        text = client.get(f"{JOBS}{job.pk}/errors/{page}").content.decode()
        return re.findall(r"<tr>\s*<td>(\d+)</td>", text)

    assert rows("") == ["7", "14", "21"]
    assert rows("?p=2") == ["28", "35"]
    assert rows("?p=9") == ["28", "35"]


def test_what_failed_is_escaped(staff: Any) -> None:
    job = make_job(5, failed=1)
    line = b'{"row": 1, "line": 2, "error": "<b>", "data": {"n": "<script>"}}\n'
    JobBatch.objects.create(
        job=job,
        number=1,
        epoch=1,
        first_row=1,
        last_row=1,
        failed=1,
        failures=zlib.compress(line),
    )

    text = staff("view").get(f"{JOBS}{job.pk}/errors/").content.decode()

    assert "&lt;b&gt;" in text
    assert "&lt;script&gt;" in text
    assert "<b>" not in text


def test_a_job_that_there_is_not_has_no_errors_page(staff: Any) -> None:
    address = reverse("admin:partstream_job_errors", args=[UUID(int=7)])

    assert staff("view").get(address).status_code == 404


@pytest.mark.database
def test_any_slice_of_the_failed_rows_is_that_of_the_whole_list() -> None:
    job = make_job(140)
    run(job)
    found = FailedRows(job.pk, 20)
    whole = [row["row"] for row in found[0:20]]

    assert whole == list(range(7, 141, 7))

    for start in range(0, 22, 3):
        for stop in range(start, 23):
            assert [row["row"] for row in found[start:stop]] == whole[start:stop]


def test_workers_are_shown_with_what_they_counted(staff: Any) -> None:
    for name, ago in (("host:1", 0), ("host:2", 3600)):
        Worker.objects.create(
            name=name,
            queue="database",
            started_at=states.after(-7200),
            seen_at=states.after(-ago),
            counts={"slices": 3, "lost_leases": 0, "rows": 12},
        )

    text = staff("view").get("/admin/partstream/worker/").content.decode()

    assert "3 slices, 12 rows" in text
    assert re.findall(r"icon-(yes|no)", text) == ["yes", "no"]
