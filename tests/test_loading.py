"""`python -m django_partstream load`, against a real server that works on its jobs."""

from __future__ import annotations

import base64
import contextlib
import csv
import gzip
import io
import json
import os
import pty
import re
import select
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from asgi_example import ports
from asgi_example.processes import Site
from django_partstream.loading import command, following
from django_partstream.models import Job
from tests.app.models import Contract

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[int]:
    """The port of `tests.loading_server` under uvicorn, on the tests' database."""
    port = ports.free_port()
    program = [
        *(sys.executable, "-m", "uvicorn", "tests.loading_server:application"),
        *("--port", str(port), "--log-level", "warning"),
    ]

    with Site() as site:
        process = site.start("uvicorn", program, cwd=ROOT, environment={**os.environ})
        process.wait_until(lambda: ports.answers(port, "/api/livez"), seconds=60)
        yield port


@pytest.fixture
def contracts(server: int) -> str:
    return f"http://127.0.0.1:{server}/api/contracts/"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Ten contracts; the third and the seventh have no year that can be one."""
    path = tmp_path / "contracts.csv"
    lines = [
        f"C-{number},{'soon' if number in (3, 7) else 2000 + number}"
        for number in range(1, 11)
    ]
    path.write_text("\n".join(["number,year", *lines, ""]))

    return path


def load(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    """The exit code, and what is printed where."""
    code = command.main(["load", *map(str, arguments)])
    out, err = capsys.readouterr()

    return code, out, err


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def cells(file: Path) -> list[list[str]]:
    return [*csv.reader(io.StringIO(file.read_bytes().decode(), newline=""))]


def numbers() -> list[str]:
    return sorted(Contract.objects.values_list("number", flat=True))


def test_good_rows_are_written_and_the_others_lie_beside_the_file(
    contracts: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = load(capsys, contracts, file, "--unique-fields", "number")

    failed = file.with_name("contracts.failed.csv")
    first, second = out.splitlines()
    assert code == 1
    assert first.startswith("contracts.csv: 10 rows in ")
    assert first.endswith(" s: 8 created, 2 failed")
    assert second == f"The failed rows are in {failed}."
    assert len(numbers()) == 8
    assert cells(failed) == [
        ["number", "year", "_row", "_outcome", "_pk", "_errors"],
        ["C-3", "soon", "3", "failed", "", "year: A valid integer is required."],
        ["C-7", "soon", "7", "failed", "", "year: A valid integer is required."],
    ]
    assert "sent: 100 %" in err
    assert "completed: 100 % 10 of 10 rows" in err
    assert Job.objects.get().kind == "async_upsert"
    assert names(file.parent) == ["contracts.csv", "contracts.failed.csv"]


def test_the_failed_rows_corrected_are_a_file_as_any_other(
    contracts: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(capsys, contracts, file)
    failed = file.with_name("contracts.failed.csv")
    failed.write_text(failed.read_text().replace("soon", "2020"))

    code, out, _ = load(capsys, contracts, failed)

    assert code == 0
    assert "2 rows in" in out
    assert len(numbers()) == 10


def test_failed_rows_of_before_are_never_overwritten(
    contracts: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file.with_name("contracts.failed.csv")
    before.write_text("under correction")

    _, out, _ = load(capsys, contracts, file)

    assert before.read_text() == "under correction"
    assert f"{file.with_name('contracts.failed-2.csv')}." in out


def test_a_job_of_good_rows_only_ends_with_0(
    contracts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.ndjson"
    path.write_text("".join(f'{{"number": "N-{n}", "year": 2024}}\n' for n in range(5)))

    code, out, _ = load(capsys, contracts, path)

    assert code == 0
    assert out.endswith(": 5 created\n")
    assert names(tmp_path) == ["rows.ndjson"]


@pytest.mark.parametrize("way", ["--gzip", "a .gz file"])
def test_a_file_travels_compressed(
    way: str, contracts: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if way == "--gzip":
        code, _, _ = load(capsys, contracts, file, way)
    else:
        packed = file.with_name("contracts.csv.gz")
        packed.write_bytes(gzip.compress(file.read_bytes()))
        code, _, _ = load(capsys, contracts, packed)

    assert code == 1
    assert len(numbers()) == 8
    assert file.with_name("contracts.failed.csv").exists()


def test_another_method_updates(
    contracts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = Contract.objects.create(number="A", year=2000)
    path = tmp_path / "changes.csv"
    path.write_text(f"id,year\n{stored.pk},2025\n")

    code, out, _ = load(capsys, contracts, path, "--method", "PATCH")

    stored.refresh_from_db()
    assert (code, stored.year) == (0, 2025)
    assert out.endswith(": 1 updated\n")


def test_only_the_update_fields_are_updated(
    contracts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = Contract.objects.create(number="A", year=2000, amount=1)
    path = tmp_path / "changes.csv"
    path.write_text("number,year,amount\nA,2025,9\n")

    load(
        capsys,
        *(contracts + "?page=1", path, "--unique-fields", "number"),
        *("--update-fields", "amount"),
    )

    stored.refresh_from_db()
    assert stored.year == 2000
    assert stored.amount == 9


def test_not_waiting_prints_where_the_job_is(
    contracts: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = load(capsys, contracts, file, "--no-wait")

    site = contracts.removesuffix("/api/contracts/")
    assert code == 0
    assert out == f"{site}/api/operations/{Job.objects.get().pk}/status/\n"


def only_sync(contracts: str) -> str:
    """A collection that makes no jobs."""
    return contracts.replace("/contracts/", "/sync-contracts/")


def test_an_answer_at_once_tells_its_counts(
    contracts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "two.csv"
    path.write_text("number,year\nA,2024\nB,2025\n")

    code, out, err = load(capsys, only_sync(contracts), path)

    assert code == 0
    assert out.endswith(": 2 created\n")
    assert "completed" not in err


def test_a_strict_answer_at_once_is_a_count(
    contracts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "two.csv"
    path.write_text("number,year\nA,2024\nB,2025\n")

    for preference in ("return=minimal", "return=representation"):
        Contract.objects.all().delete()
        code, out, _ = load(
            capsys, only_sync(contracts), path, "--header", f"prefer: {preference}"
        )
        assert code == 0
        assert out.startswith("two.csv: 2 rows in ")
        assert out.endswith(": 2 written\n")


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_rows_that_fail_at_once_are_taken_out_of_the_file(
    delimiter: str,
    contracts: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "two.csv"
    text = '\ufeffyear,number\n\n2024,"A\nwith a line"\nsoon,"B, or\nso"\n'
    path.write_text(text.replace(",", delimiter).replace(f"B{delimiter}", "B,"))

    code, _, _ = load(capsys, only_sync(contracts), path)

    failed = tmp_path / "two.failed.csv"
    assert code == 1
    assert numbers() == ["A\nwith a line"]
    assert cells(failed) == [
        ["year", "number", "_row", "_outcome", "_pk", "_errors"],
        ["soon", "B, or\nso", "2", "failed", "", "year: A valid integer is required."],
    ]


@pytest.mark.parametrize("kind", ["json", "ndjson"])
def test_rows_that_fail_at_once_are_taken_out_of_json(
    kind: str, contracts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"two.{kind}"
    rows = [{"number": "A", "year": 2024}, {"number": "B", "year": "soon"}]
    lines = "\n\n".join(map(json.dumps, rows))
    path.write_text(json.dumps(rows) if kind == "json" else lines)

    code, _, _ = load(capsys, only_sync(contracts), path)

    [failed] = map(
        json.loads, (tmp_path / "two.failed.ndjson").read_text().splitlines()
    )
    assert code == 1
    assert (failed["row"], failed["data"]) == (2, rows[1])
    assert failed["errors"][0]["pointer"] == "/year"


def test_failed_rows_of_a_json_job_come_as_ndjson(
    contracts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "two.json"
    path.write_text('[{"number": "A", "year": 2024}, {"number": "B", "year": "soon"}]')

    code, _, _ = load(capsys, contracts, path)

    [failed] = map(
        json.loads, (tmp_path / "two.failed.ndjson").read_text().splitlines()
    )
    assert code == 1
    assert failed["data"] == {"number": "B", "year": "soon"}


def test_a_refusal_is_printed_with_the_problems_text(
    contracts: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "contracts.csv"
    path.write_text("number,yaer\nA,2024\n")

    code, out, err = load(capsys, contracts, path)

    assert (code, out) == (2, "")
    assert "400 Bad Request: " in err
    assert "'yaer'" in err


def test_a_refusal_names_the_first_bad_rows(
    contracts: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("number,year\n" + "".join(f"C-{n},soon\n" for n in range(12)))
    address = contracts.replace("/contracts/", "/plain/").replace("plain", "contracts")

    code, _, err = load(
        capsys, address, file, "--header", "Prefer: handling=strict, return=minimal"
    )

    lines = err.splitlines()
    assert code == 2
    assert "400 Bad Request: 12 of 12 rows are not valid; nothing was written." in err
    assert lines[-2:] == [
        "  row 10: year: A valid integer is required.",
        "  … and 2 more",
    ]


def test_a_file_that_is_too_large_is_refused_before_it_is_read(
    contracts: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with file.open("a") as more:
        more.writelines(f"D-{number},2024\n" for number in range(400_000))

    code, _, err = load(capsys, contracts, file)

    assert code == 2
    assert "413 " in err
    assert "The upload is larger than the 4000000 bytes allowed." in err


def test_credentials_are_sent_with_every_request_and_the_job_is_theirs(
    server: int, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ada = get_user_model().objects.create_user("ada", password="lovelace")
    address = f"http://127.0.0.1:{server}/api/unlocked-contracts/"
    secret = base64.b64encode(b"ada:lovelace").decode()
    headers = tmp_path / "headers"
    headers.write_text(f"\nAuthorization: Basic {secret}\n")

    code, _, err = load(capsys, address, file)
    assert code == 2
    assert "Authentication credentials were not provided." in err

    for given in (f"Authorization: Basic {secret}", f"@{headers}"):
        Contract.objects.all().delete()
        assert load(capsys, address, file, "--header", given)[0] == 1

    assert {job.owner_id for job in Job.objects.all()} == {ada.pk}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["shop.example/contracts/", "{file}"],
            (
                "'shop.example/contracts/' is no address of a server; expected one "
                "like https://shop.example/api/contracts/."
            ),
        ),
        (
            ["http://localhost/", "{file}", "--header", "Token"],
            "--header is 'Token'; expected 'Name: value'.",
        ),
        (
            ["http://localhost/", "{file}", "--header", "@/nowhere"],
            "/nowhere cannot be read: No such file or directory.",
        ),
        (
            ["http://localhost/", "/nowhere.csv"],
            "/nowhere.csv cannot be read: No such file or directory.",
        ),
        (
            ["http://localhost/", "{file}.xlsx"],
            (
                "What is in contracts.csv.xlsx cannot be told from its name; expected "
                "one of .csv, .tsv, .txt, .json, .ndjson, .jsonl, or --content-type."
            ),
        ),
    ],
)
def test_what_cannot_be_sent_is_said(
    arguments: list[str], text: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [argument.replace("{file}", str(file)) for argument in arguments]

    assert load(capsys, *given) == (2, "", f"{text}\n")


def test_a_server_that_is_not_there_is_said(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"http://127.0.0.1:{ports.free_port()}/contracts/"

    code, _, err = load(capsys, address, file)

    assert code == 2
    assert err.endswith(
        f"{address} cannot be reached: [Errno 111] Connection refused.\n"
    )


@contextlib.contextmanager
def relay(port: int, *, cuts: list[str]) -> Iterator[int]:
    """A way to the server on which each connection that asks for an address with the
    first of `cuts` in it is cut once the answer has begun, and that cut is done."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked = self.request.recv(65536)
            cut = bool(cuts) and cuts[0].encode() in asked.partition(b"\r\n")[0]

            with socket.create_connection(("127.0.0.1", port)) as upstream:
                upstream.sendall(asked)
                ends = [self.request, upstream]

                while True:
                    for end in select.select(ends, [], [])[0]:
                        piece = end.recv(65536)
                        other = upstream if end is self.request else self.request

                        if not piece:
                            return

                        if cut and end is upstream:
                            cuts.pop(0)
                            other.sendall(piece[: len(piece) // 2])
                            return

                        other.sendall(piece)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()

        try:
            yield listening.server_address[1]
        finally:
            listening.shutdown()
            thread.join()


def test_a_connection_that_is_cut_is_made_again(
    server: int,
    file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "FIRST_PAUSE", 0.01)
    cuts = ["/events/", "/status/", "/events/", "/results/"]

    with relay(server, cuts=cuts) as port:
        code, out, err = load(capsys, f"http://127.0.0.1:{port}/api/contracts/", file)

    assert code == 1
    assert "connection lost (" in err
    assert ": 8 created, 2 failed\n" in out
    failed = file.with_name("contracts.failed.csv")
    assert len(cells(failed)) == 3
    assert names(file.parent) == ["contracts.csv", "contracts.failed.csv"]


@pytest.mark.parametrize("collection", ["contracts", "sync-contracts"])
def test_a_file_whose_answer_was_lost_is_sent_again_and_taken_once(
    collection: str, server: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "two.csv"
    path.write_text("number,year\nA,2024\nB,2025\n")
    cuts = [f"/{collection}/", f"/{collection}/"]

    with relay(server, cuts=cuts) as port:
        code, out, err = load(
            capsys, f"http://127.0.0.1:{port}/api/{collection}/", path
        )

    assert code == 0
    assert err.count("; sending the file again\n") == 2
    assert out.endswith(": 2 created\n")
    assert numbers() == ["A", "B"]


def test_a_file_whose_answer_never_comes_is_given_up_and_its_key_is_told(
    server: int, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with relay(server, cuts=["/contracts/"] * 3) as port:
        address = f"http://127.0.0.1:{port}/api/contracts/"
        code, _, err = load(capsys, address, file)
        [key] = re.findall(r"--idempotency-key (\S+) it is taken once\.", err)
        again, _, _ = load(capsys, address, file, "--idempotency-key", key)

    assert code == 2
    assert "does not answer: " in err
    assert again == 1
    assert Job.objects.count() == 1
    assert len(numbers()) == 8


def test_a_server_that_stays_away_is_given_up(
    server: int,
    file: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(following, "FIRST_PAUSE", 0.01)

    with relay(server, cuts=["/operations/"] * 1000) as port:
        code, _, err = load(capsys, f"http://127.0.0.1:{port}/api/contracts/", file)

    assert code == 2
    assert "The server was away for 0.1 s: " in err
    assert err.endswith("The job goes on without us.\n")


def test_it_needs_no_settings_and_shows_a_bar_in_a_terminal(
    contracts: str, file: Path
) -> None:
    terminal, far = pty.openpty()
    shown = bytearray()

    def read() -> None:
        # EIO: the last one who wrote there has closed it.
        with contextlib.suppress(OSError):
            while piece := os.read(terminal, 65536):
                shown.extend(piece)

    # Meanwhile: a terminal that nobody reads is full some time.
    reading = threading.Thread(target=read)
    reading.start()
    command_line = [sys.executable, "-W", "error", "-m", "django_partstream"]
    environment = {
        "PATH": "",
        "TERM": "xterm",
        "COLUMNS": "100",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }

    done = subprocess.run(
        [*command_line, "load", contracts, file],
        stderr=far,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        check=False,
    )
    os.close(far)
    reading.join()
    os.close(terminal)
    assert ": 8 created, 2 failed\n" in done.stdout, shown.decode()
    assert done.returncode == 1
    assert "━" in shown.decode()
    assert "10/10" in shown.decode()


def test_help_names_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["load", "--help"])

    assert caught.value.code == 0
    assert "Exits 0, 1 when some rows failed, 2 when" in " ".join(
        capsys.readouterr().out.split()
    )
