"""The table as people and programs read it."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest
import synthetic

from vmsim.experiment.store import Results
from vmsim.report.show import overview_text, run_text
from vmsim.report.table import facts_json, laid_out, phases_json, table_text

KEYS = {"row", "phase", "kind", "published_ms", "simulated_ms", "spread_ms", "error_percent"}


@pytest.fixture(scope="module")
def results() -> Results:
    return Results(Path("results/lock-on-fault"), synthetic.sweep(), tuple(synthetic.all_runs(3)))


def test_json_has_an_object_for_each_row_and_phase(results: Results) -> None:
    objects = json.loads(json.dumps(phases_json(results), allow_nan=False))
    assert [(o["row_id"], o["phase"]) for o in objects] == [
        (row[0], phase) for row in synthetic.ROWS for phase in ("setup", "processing")
    ]
    assert all(o.keys() >= KEYS for o in objects)
    assert {o["kind"] for o in objects} == {"fitted", "predicted"}


def test_json_numbers_are_means_of_the_runs_in_milliseconds(results: Results) -> None:
    ours = next(o for o in phases_json(results) if o["row_id"] == "onfault" and o["phase"] == "processing")
    times = [run.phases[1].elapsed_ns for run in results.of_row("onfault")]
    assert ours["simulated_ms"] == pytest.approx(sum(times) / 3 / 1e6, abs=1e-9)
    assert ours["published_ms"] == 17904.899
    assert ours["error_percent"] == pytest.approx(100 * (sum(times) / 3 / 17_904_899_000 - 1), abs=1e-5)


def test_json_of_a_failing_row_is_null_and_says_why(results: Results) -> None:
    failing = next(o for o in phases_json(results) if o["row_id"] == "batch-1-default" and o["phase"] == "processing")
    assert (failing["published_ms"], failing["simulated_ms"], failing["error_percent"]) == (None, None, None)
    assert (failing["status"], failing["stopped_by"], failing["stopped_after_signals"]) == (
        "failed",
        "mprotect: ENOMEM",
        33_597,
    )
    assert (failing["published_fails"], failing["within"]) == ("ENOMEM from mprotect", True)


def test_facts_are_a_list_of_their_own(results: Results) -> None:
    facts = facts_json(results)
    assert [fact["stated"] for fact in facts] == [33_597, 1_310_701, 309_463, 183_344]
    assert all(fact["within"] and fact["error_percent"] == 0 for fact in facts)


def missed(results: Results) -> str:
    times = [run.phases[1].elapsed_ns for run in results.of_row("batch-16")]
    return f"{100 * (statistics.mean(times) / 29_671_180_000 - 1):+.1f}"


def ours_spread(results: Results) -> str:
    return f"{statistics.stdev(run.phases[1].elapsed_ns for run in results.of_row('batch-16')) / 1e6:.3f}"


def test_text_shows_what_was_published_what_came_out_and_what_missed(results: Results) -> None:
    text = table_text(results)
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert "Lock on fault: 3 runs a row" in text
    assert lines["mlock of the whole range"].split()[5:8] == ["setup", "fitted", "8,228.666"]
    assert "after 33,597 signals" in text and "as published" in text
    assert [line.split()[-4:] for line in text.splitlines() if line.endswith("*")] == [
        [ours_spread(results), missed(results), "%", "*"]
    ]
    assert text.rstrip().endswith("* 1 beyond tolerance")
    assert "Stated counts" in text
    assert max(len(line) for line in text.splitlines()) <= 160


def test_text_without_published_values_shows_simulated_ones_only() -> None:
    rows = tuple(type(row)(row.row_id, row.row_name, "") for row in synthetic.sweep().rows)
    text = table_text(Results(Path("r"), synthetic.sweep(rows=rows), (synthetic.run("plain"),)))
    assert text.splitlines()[2].split() == ["row", "phase", "simulated", "spread"]
    assert text.splitlines()[0] == "Lock on fault: 1 run a row, mean times in ms"


def test_text_of_no_runs_at_all() -> None:
    assert "no runs yet" in table_text(Results(Path("r"), synthetic.sweep(), ()))


def test_columns_line_up_and_long_names_wrap() -> None:
    name = "a name that is far longer than the column that it has to stand in"
    assert laid_out(("row", "n"), [(name, "1"), (name, "22"), ("b", "333\n4")], left=1) == [
        "row                                               n",
        "----------------------------------------------  ---",
        "a name that is far longer than the column that    1",
        "it has to stand in                               22",
        "b                                               333",
        "                                                  4",
    ]


def test_show_has_the_ledger_with_its_sum_and_the_kernels_names(results: Results) -> None:
    run = results.of_row("batch-8")[1]
    text = run_text(run)
    total = next(line for line in text.splitlines() if line.startswith("total"))
    processing_ms = run.phases[1].elapsed_ns / 1e6
    assert f"{processing_ms:,.6f}" in total
    assert "nr_signals" in text and "309,463" in text
    assert "pgfault 81995" in text
    assert run.result_hash in text


def test_overview_names_every_row(results: Results) -> None:
    text = overview_text(results)
    assert all(row[0] in text for row in synthetic.ROWS)
    assert "mprotect: ENOMEM" in text
