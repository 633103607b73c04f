"""The benchmarks: how values are taken and shown, and one tiny real run."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import bars, growth, page, plots, report
from benchmarks.flights import YEAR_ROWS, Files
from benchmarks.link import slow_link
from benchmarks.measuring import (
    OVERDRAFT,
    Figure,
    Scale,
    Series,
    alternate,
    exponent,
    within,
)
from benchmarks.meter import CPU, DATABASE_CPU, MEMORY, STATEMENTS
from tests import forms

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


def figure(**options):
    return Figure(
        name="first",
        title="First frame",
        unit="ms",
        note="Of nothing.",
        series=[
            Series(label="bare ASGI", kind="floor", values=[2.0, 1.0, 3.0, 2.0, 2.0]),
            Series(label="ours", kind="ours", values=[4.0, 5.0, 3.0, 4.0, 4.0]),
        ],
        **options,
    )


def cost(series, what):
    value = series.cost(what)
    assert value is not None, f"{series.label} has no {what}"

    return value


def test_takes_come_in_turn_and_every_other_round_in_reverse():
    takes = {"a": lambda: 1, "b": lambda: 2}

    assert list(alternate(takes, rounds=3)) == [
        ("a", 1),
        ("b", 2),
        ("b", 2),
        ("a", 1),
        ("a", 1),
        ("b", 2),
    ]


def test_series_has_its_median_and_quartiles():
    series = Series(label="x", kind="ours", values=[1, 2, 3, 4, 100])

    assert (series.median, series.spread) == (3, (2, 4))
    assert Series(label="x", kind="ours", values=[7]).spread == (7, 7)


@pytest.mark.parametrize(("better", "ratio"), [("lower", 2.0), ("higher", 0.5)])
def test_ratio_above_one_is_worse_than_the_floor(better, ratio):
    measured = figure(better=better)

    assert measured.ratio(measured.series[1]) == ratio


def test_scale_never_measures_nothing():
    assert Scale(rounds=1, size=0.001).count(100) == 1
    assert Scale(rounds=1, size=0.001).count(100, at_least=3) == 3


def test_results_are_printed_with_spread_and_ratio():
    assert report.lines(figure()) == [
        "First frame (ms, lower is better)",
        "  bare ASGI         2.00   2.00 to 2.00   1.00 x",
        "  ours              4.00   4.00 to 4.00   2.00 x",
    ]


def test_results_become_a_file_plots_and_a_section_of_the_page(tmp_path):
    folder = tmp_path / "results"
    readme = tmp_path / "README.md"
    readme.write_text(f"# Ours\n\n{page.BEGIN}old\n{page.END}\nThe end.\n")
    section = report.Section(
        name="first-frame",
        about=report.environment(),
        figures=[figure(goal="2 x at most")],
        seconds=12.3,
        cuts=["3 of 5 rounds of «bare ASGI» and 1 more"],
        failure="RuntimeError: no more",
    )
    # Two of the bars are measured by this figure, and one is met.
    results = [
        bars.Result(
            bars.Bar(what=what, asked="2.5 ms", figure="first", limit=2.5, unit="ms"),
            value,
        )
        for what, value in (("the floor", 2.0), ("ours", 4.0), ("the moon", None))
    ]

    report.write(folder, section)
    plots.draw(section.figures[0], folder)
    plots.draw_bars(results, folder)
    read = report.read(folder, ["first-frame", "never-run"])
    page.write(readme, "results", read, results, {"first-frame": "The first frame"})

    text = readme.read_text()
    content = json.loads((folder / "first-frame.json").read_text())
    assert content["figures"][0]["series"][1]["values"] == [4.0, 5.0, 3.0, 4.0, 4.0]
    assert text.startswith("# Ours\n\n<!-- results")
    assert text.endswith(f"{page.END}\nThe end.\n")
    assert "old" not in text
    assert (
        "Of 3 bars 1 are met, 1 are missed, 1 were not measured; each is the median of "
        "its rounds, in this run. «The first frame» failed: RuntimeError: no more."
    ) in text
    assert "| the floor | 2.5 ms | 2.00 ms | met |" in text
    assert "| ours | 2.5 ms | 4.00 ms | **missed** |" in text
    assert "| the moon | 2.5 ms |  | not measured |" in text
    assert "Of nothing. Goal: 2 x at most." in text
    assert "| bare ASGI | 2.00 | 2.00 to 2.00 | 1.00 x |" in text
    assert "| **ours** | 4.00 | 4.00 to 4.00 | 2.00 x |" in text
    assert "Cut to stay in time: 3 of 5 rounds of «bare ASGI» and 1 more." in text

    for source in re.findall(r'(?:src|srcset)="([^"]+)"', text):
        assert (tmp_path / source).read_text().startswith("<?xml")


def test_figure_is_read_as_it_was_written():
    costs = {CPU: [1.0, 2.0], STATEMENTS: [4.0, 4.0]}
    one = Series(label="ours", kind="ours", values=[1.0, 2.0], costs=costs)
    written = Figure(name="n", title="T", unit="ms", note="N.", series=[one])

    read = Figure.from_json(json.loads(json.dumps(written.json())))

    assert read.json() == written.json()
    assert read.series[0].cost(CPU) == 1.5
    assert read.series[0].cost(MEMORY) is None


def test_rounds_beyond_three_are_taken_while_the_budget_lasts_and_cuts_are_told():
    takes = {"a": lambda: 1, "b": lambda: 2}

    with spent(60) as budget:
        taken = list(alternate(takes, rounds=5))

    assert len(taken) == 2 * 3
    assert budget.cuts == ["3 of 5 rounds of «a» and 1 more"]

    with spent(60, least=1) as budget:
        taken = list(alternate(takes, rounds=5))

    assert (len(taken), budget.cuts) == (2, ["1 of 5 rounds of «a» and 1 more"])

    with within(60.0) as budget:
        taken = list(alternate(takes, rounds=5))

    assert (len(taken), budget.cuts) == (2 * 5, [])


def test_budget_that_is_far_overdrawn_has_one_round_of_everything():
    with spent(OVERDRAFT * 60) as budget:
        taken = list(alternate({"a": lambda: 1}, rounds=5))
        other = list(alternate({"b": lambda: 1}, rounds=5, least=3))

    assert (taken, other) == ([("a", 1)], [("b", 1)])
    assert budget.cuts == ["1 of 5 rounds of «a»", "1 of 5 rounds of «b»"]


def test_what_is_slow_is_taken_in_the_first_round_alone():
    takes = {"a": lambda: 1, "slow": lambda: 2, "b": lambda: 3}

    assert list(alternate(takes, rounds=3, once=("slow",))) == [
        *(("a", 1), ("slow", 2), ("b", 3)),
        *(("b", 3), ("a", 1)),
        *(("a", 1), ("b", 3)),
    ]


@contextlib.contextmanager
def spent(seconds, **options):
    """A minute of which so much has gone."""
    with within(60.0, **options) as budget:
        budget.began -= seconds

        yield budget


@pytest.mark.parametrize(
    ("how", "better", "bar_better", "limit", "value", "is_met"),
    [
        ("ratio", "lower", "lower", 2.0, 2.0, True),
        ("ratio", "lower", "lower", 1.9, 2.0, False),
        ("more", "lower", "lower", 1.5, 2.0, False),
        ("value", "lower", "lower", 5.0, 4.0, True),
        # Half as many a second as the floor is twice as bad.
        ("ratio", "higher", "lower", 1.5, 0.5, True),
        ("ratio", "higher", "higher", 3.0, 2.0, False),
    ],
)
def test_bar_is_met_or_missed(how, better, bar_better, limit, value, is_met):
    measured = figure(better=better)
    bar = bars.Bar(
        what="",
        asked="",
        figure="first",
        series="ours",
        how=how,
        limit=limit,
        better=bar_better,
    )

    result = bars.Result(bar, bars.value(bar, measured))

    assert (result.value, result.is_met) == (value, is_met)


def test_bar_of_all_of_ours_is_that_of_the_worst():
    bar = bars.Bar(what="", asked="", figure="first", limit=3.0)
    better = Series(label="ours, too", kind="ours", values=[1.0])
    measured = figure()
    measured = Figure(**{**measured.json(), "series": [*measured.series, better]})

    assert bars.value(bar, measured) == 4.0
    assert bars.value(bar, None) is None


def test_growth_is_looked_for_in_figures_and_in_labels_that_name_their_size():
    def of(name, **medians):
        series = [Series(label=k, kind="ours", values=[v]) for k, v in medians.items()]

        return Figure(name=name, title=name, unit="ms", note="", series=series)

    found = {
        one.name: one
        for one in (
            # Of each socket less where there are more: of all, ten times as much.
            of("fan-out-1", **{"in memory": 10.0}),
            of("fan-out-100", **{"in memory": 1.0}),
            of("jobs-1000", **{"ours, from the request on": 1.0}),
            of("jobs-4000", **{"ours, from the request on": 16.0}),
            of("jobs-memory", **{"worker, 1,000 rows": 1.0}),
            of(
                "parts-streams", **{"6 x a sync function": 1, "60 x a sync function": 9}
            ),
        )
    }

    grown, *curves = growth.measure(found)

    assert {one.label: pytest.approx(one.median, abs=0.01) for one in grown.series} == {
        "CPU of an event of a job, in memory: 1 to 100 sockets": 0.5,
        "a job: 1,000 to 4,000 rows": 2.0,
        "a stream whose parts are each a sync function: 6 to 60 parts": 0.95,
    }
    assert [curve.name for curve in curves] == ["growth-jobs", "growth-fan-out"]
    assert (curves[0].series[0].at, curves[0].series[0].values) == (
        [1000, 4000],
        [1.0, 16.0],
    )
    assert growth.measure({}) == []


def test_section_that_fails_keeps_what_it_gave_and_costs_the_others_nothing(
    tmp_path, monkeypatch, capsys
):
    def measure(scale):
        yield figure()
        raise RuntimeError("The server has gone.")

    monkeypatch.setattr(importlib.import_module("benchmarks.items"), "measure", measure)
    monkeypatch.setattr(
        importlib.import_module("benchmarks.parts"), "measure", lambda scale: [figure()]
    )

    code = command.main(["--only", "items", "parts", "--output", str(tmp_path)])

    items, parts = report.read(tmp_path, ["items", "parts"])
    assert code == 1
    assert items.failure == "RuntimeError: The server has gone."
    assert len(items.figures) == 1
    assert (parts.failure, len(parts.figures)) == ("", 1)
    assert "Failed: items." in capsys.readouterr().out


def test_section_is_given_up_that_takes_far_too_long(monkeypatch, capsys):
    monkeypatch.setattr(command, "PATIENCE", 0)
    monkeypatch.setattr(command, "GRACE_SECONDS", 0.05)
    monkeypatch.setattr(
        importlib.import_module("benchmarks.items"),
        "measure",
        lambda scale: threading.Event().wait(),
    )

    section = command.run("items", Scale(rounds=1, size=0.01), None)

    assert section.failure == "TimeoutError: it took longer than 0 s"


def test_process_that_a_section_leaves_running_is_a_failure(monkeypatch):
    left = []

    def measure(scale):
        left.append(subprocess.Popen(["sleep", "60"]))
        return [figure()]

    monkeypatch.setattr(importlib.import_module("benchmarks.items"), "measure", measure)

    section = command.run("items", Scale(rounds=1, size=0.01), None)

    assert section.failure == f"processes {[left[0].pid]} were left running"
    left[0].kill()
    left[0].wait()


def test_same_values_give_the_same_plot(tmp_path):
    plots.draw(figure(), tmp_path)
    first = (tmp_path / "first.svg").read_bytes()
    plots.draw(figure(), tmp_path)

    assert (tmp_path / "first.svg").read_bytes() == first


@pytest.mark.parametrize("benchmark", command.BENCHMARKS.values(), ids=str)
def test_every_benchmark_can_be_measured(benchmark):
    module = importlib.import_module(f"benchmarks.{benchmark.module}")

    assert callable(module.measure)


def test_budgets_are_a_quarter_of_an_hour_and_two_minutes():
    benchmarks = command.BENCHMARKS.values()

    assert sum(benchmark.seconds for benchmark in benchmarks) <= 16 * 60
    assert sum(benchmark.quick for benchmark in benchmarks) <= 120


def test_published_results_are_those_of_the_page():
    text = (FOLDER / "README.md").read_text()
    published = set(re.findall(r'(?:src|srcset)="results/([^"]+)"', text))

    assert published == {file.name for file in (FOLDER / "results").glob("*.svg")}


def test_the_page_begins_with_what_is_not_measured():
    headings = re.findall(r"^## (.*)", (FOLDER / "README.md").read_text(), re.MULTILINE)

    assert headings[0] == "What is not measured"


def test_files_of_flights_go_on_a_year_later(tmp_path):
    path = Files(tmp_path).first(YEAR_ROWS + 1)

    lines = path.read_bytes().splitlines()
    assert len(lines) == 1 + YEAR_ROWS + 1
    assert lines[1].startswith(b"2013,1,1,517,515,2,830,819,11,UA,1545,")
    assert lines[1].endswith(b",2013-01-01T10:00:00Z")
    assert lines[-1] == lines[1].replace(b"2013", b"2014")


def test_slow_link_takes_its_way_there_and_back_and_as_long_as_its_rate_says():
    content = b"x" * 30_000

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer_once, args=(server, content))
        thread.start()
        port = server.getsockname()[1]

        with slow_link(port, round_trip=0.1, rate=150_000) as far:
            began = time.perf_counter()

            with socket.create_connection(("127.0.0.1", far)) as client:
                client.sendall(b"?")
                first = client.recv(1)
                first_after = time.perf_counter() - began
                got = first + b"".join(iter(lambda: client.recv(65536), b""))
                seconds = time.perf_counter() - began

        thread.join()

    # A handshake, there and back, and 0.2 s for the bytes.
    assert got == content
    assert first_after >= 0.2
    assert 0.4 <= seconds < 5


def _answer_once(server, content):
    connection, _ = server.accept()

    with connection:
        connection.recv(1)
        connection.sendall(content)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_exponent_is_that_of_the_power_law(power):
    sizes = [10, 100, 1000]

    assert exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power)


@pytest.mark.full
def test_real_job_is_measured_against_copy():
    section = command.run("jobs", Scale(rounds=1, size=0.001), None)

    assert section.failure == ""
    *sizes, grown, memory = section.figures
    assert [one.name for one in sizes] == ["jobs-10", "jobs-30", "jobs-100"]
    copy, ours, work = sizes[0].series
    assert copy.label == "COPY"
    assert cost(copy, DATABASE_CPU) > 0
    assert ours.label == "ours, from the request on"
    assert cost(ours, STATEMENTS) > 10
    assert cost(ours, CPU) > 0
    assert cost(ours, DATABASE_CPU) > 0
    assert work.label == "ours, from a worker's claim on"
    assert "COPY grows with the " in grown.note
    assert len(grown.series) == 3
    assert all(value < 64 for series in memory.series for value in series.values)


#: Those that are not measured above and below, in `make test-long` alone: each starts
#: servers of its own.
OTHERS = [name for name in command.BENCHMARKS if name not in ("jobs", "parts")]


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", OTHERS if forms.LONG else [])
def test_each_section_measures_with_real_servers(name):
    section = command.run(name, Scale(rounds=1, size=0.01), None)

    assert section.failure == ""
    assert section.figures
    assert all(series.values for one in section.figures for series in one.series)


def test_real_server_is_measured(capsys):
    (each, streams) = command.run("parts", Scale(rounds=1, size=0.01), None).figures

    assert [series.label for series in each.series] == [
        "a value that is there",
        "an async function",
        "a sync function",
    ]
    assert all(series.median > 0 for series in streams.series)
    assert all(cost(series, CPU) > 0 for series in streams.series)
    assert "One more part that does nothing (µs, lower is better)" in (
        capsys.readouterr().out
    )
