"""The benchmarks: how values are taken and shown, and one tiny real run."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import plots, report
from benchmarks.flights import YEAR_ROWS, Files
from benchmarks.measuring import Figure, Scale, Series, alternate, exponent

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
    results = tmp_path / "results"
    page = tmp_path / "README.md"
    page.write_text(f"# Ours\n\n{report.BEGIN}old\n{report.END}\nThe end.\n")
    measured = figure(goal="2 x at most")

    report.write_results(results, "first-frame", [measured], report.environment())
    plots.draw(measured, results)
    report.write_page(page, results, ["first-frame", "never-run"])

    text = page.read_text()
    content = json.loads((results / "first-frame.json").read_text())
    assert content["figures"][0]["series"][1]["values"] == [4.0, 5.0, 3.0, 4.0, 4.0]
    assert text.startswith("# Ours\n\n<!-- results")
    assert text.endswith(f"{report.END}\nThe end.\n")
    assert "old" not in text
    assert "Of nothing. Goal: 2 x at most." in text
    assert "| bare ASGI | 2.00 | 2.00 to 2.00 | 1.00 x |" in text
    assert "| **ours** | 4.00 | 4.00 to 4.00 | 2.00 x |" in text

    for source in re.findall(r'(?:src|srcset)="([^"]+)"', text):
        assert (tmp_path / source).read_text().startswith("<?xml")


def test_same_values_give_the_same_plot(tmp_path):
    plots.draw(figure(), tmp_path)
    first = (tmp_path / "first.svg").read_bytes()
    plots.draw(figure(), tmp_path)

    assert (tmp_path / "first.svg").read_bytes() == first


@pytest.mark.parametrize("module", command.BENCHMARKS.values())
def test_every_benchmark_can_be_measured(module):
    assert callable(importlib.import_module(f"benchmarks.{module}").measure)


def test_published_results_are_those_of_the_page():
    page = (FOLDER / "README.md").read_text()
    published = set(re.findall(r'(?:src|srcset)="results/([^"]+)"', page))

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


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_exponent_is_that_of_the_power_law(power):
    sizes = [10, 100, 1000]

    assert exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power)


@pytest.mark.full
def test_real_job_is_measured_against_copy():
    year, growth, memory = command.run("jobs", Scale(rounds=1, size=0.001), None)

    assert [series.label for series in year.series] == [
        "COPY",
        "ours, from the request on",
        "ours, from a worker's claim on",
    ]
    assert "COPY grows with the " in growth.note
    assert len(growth.series) == 4
    assert all(value < 64 for series in memory.series for value in series.values)


def test_real_server_is_measured(capsys):
    (each, streams) = command.run("parts", Scale(rounds=1, size=0.01), None)

    assert [series.label for series in each.series] == [
        "a value that is there",
        "an async function",
        "a sync function",
    ]
    assert all(series.median > 0 for series in streams.series)
    assert "One more part that does nothing (µs, lower is better)" in (
        capsys.readouterr().out
    )
