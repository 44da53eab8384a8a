"""The plots of sweeps, percentiles and memory over time: what stands where, and what they refuse."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import synthetic

from vmsim.errors import VmsimError
from vmsim.experiment.record import Curves, LatencyRecord, SeriesRecord
from vmsim.experiment.store import Results
from vmsim.report.compare import percentile
from vmsim.report.plots import curves, outcomes, percentiles, series, timeline
from vmsim.report.plots.style import style


def swept(**about: object) -> Results:
    """A sweep of one line over RAM, whose faults are 1000 / MiB x 128; the largest machine has no run."""
    base = synthetic.sweep().rows[0]
    rows, runs = [], []
    for mib in (128, 256, 512, 1024):
        row = dataclasses.replace(base, row_id=f"r{mib}", row_name=f"RAM {mib} MiB", at={"RAM": f"{mib} MiB", "kernel": "4.4"})
        rows.append(row)
        run = dataclasses.replace(synthetic.run("plain"), row_id=row.row_id, vmstat={"pgmajfault": 128000 // mib})
        if mib < 1024:
            runs.append(run)
    return Results(Path("r"), synthetic.sweep(rows=tuple(rows), **about), tuple(runs))


def drawn(plot: object, results: Results) -> object:
    with style():
        figure = plot.draw(results)  # type: ignore[attr-defined]
        figure.draw_without_rendering()
    return figure


def test_points_stand_at_their_quantities() -> None:
    figure = drawn(curves, swept(curves=Curves(y=("pgmajfault",), marks={"here": "300 MiB"})))
    (axes,) = figure.axes  # type: ignore[attr-defined]
    line = axes.get_lines()[0]
    assert list(line.get_xdata()) == [128 << 20, 256 << 20, 512 << 20]
    assert list(line.get_ydata()) == [1000, 500, 250]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["128 MiB", "256 MiB", "512 MiB"]
    assert axes.get_xlabel() == "RAM"
    assert axes.get_lines()[-1].get_xdata()[0] == 300 << 20


def test_texts_stand_side_by_side_and_another_axis_can_be_chosen() -> None:
    figure = drawn(curves, swept(curves=Curves(x="kernel", y=("pgmajfault",))))
    assert figure.axes[0].get_xlabel() == "kernel"  # type: ignore[attr-defined]
    assert len(figure.axes[0].containers) == 3  # type: ignore[attr-defined]  # a line for each RAM


def test_what_a_row_did_not_complete_is_told() -> None:
    results = swept()
    phases = tuple(dataclasses.replace(phase, complete=False) for phase in results.runs[0].phases)
    cut = dataclasses.replace(results.runs[0], phases=phases, stopped_by="killed by the OOM killer")
    figure = drawn(curves, dataclasses.replace(results, runs=(cut, *results.runs[1:])))
    assert "× killed by the OOM killer" in [text.get_text() for text in figure.axes[0].texts]  # type: ignore[attr-defined]


def test_outcomes_tell_time_or_what_stopped_a_run() -> None:
    """A column for each combination of the axes where rows are lines; the time is that of all phases."""
    results = swept()
    rows = tuple(dataclasses.replace(row, line="plain") for row in results.sweep.rows)
    results = dataclasses.replace(results, sweep=dataclasses.replace(results.sweep, rows=rows))
    killed = dataclasses.replace(results.runs[0], stopped_by="killed by the OOM killer")
    figure = drawn(outcomes, dataclasses.replace(results, runs=(killed, *results.runs[1:])))
    (axes,) = figure.axes  # type: ignore[attr-defined]
    assert [label.get_text() for label in axes.get_xticklabels()] == [f"RAM {mib} MiB\nkernel 4.4" for mib in (128, 256, 512)]
    total = sum(phase.elapsed_ns for phase in results.runs[1].phases)
    told = [text.get_text() for text in axes.texts]
    assert told[0].startswith("OOM kill\n")
    assert told[1] == f"{total / 1e9:.3g} s"


def test_outcomes_without_lines_have_the_first_axis_across() -> None:
    results = swept()
    rows = tuple(dataclasses.replace(row, at={"RAM": ram, "kernel": kernel}) for row, (ram, kernel) in zip(
        results.sweep.rows, (("1 GiB", "4.4"), ("1 GiB", "6.1"), ("2 GiB", "4.4"), ("2 GiB", "6.1")), strict=True))  # fmt: skip
    (axes,) = drawn(outcomes, dataclasses.replace(results, sweep=dataclasses.replace(results.sweep, rows=rows))).axes  # type: ignore[attr-defined]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["RAM 1 GiB", "RAM 2 GiB"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["kernel 4.4", "kernel 6.1"]
    assert [text.get_position() for text in axes.texts] == [(0, 0), (0, 1), (1, 0)]  # the fourth has no run


def test_series_leave_out_what_stays_0() -> None:
    kept = tuple(SeriesRecord(name, (0, 10), values) for name, values in {"a": (0, 0), "b": (0, 3), "c": (1, 0), "d": (0, 0)}.items())
    run = dataclasses.replace(synthetic.run("plain"), series=kept)
    figure = drawn(series, Results(Path("r"), synthetic.sweep(), (run,)))
    assert [axes.get_title("left") for axes in figure.axes] == ["b", "c"]  # type: ignore[attr-defined]
    assert figure.get_suptitle().endswith("(2 that stay 0 are left out)")  # type: ignore[attr-defined]


def test_curves_need_a_sweep_and_known_names() -> None:
    with pytest.raises(VmsimError, match="no sweep"):
        curves.draw(Results(Path("r"), synthetic.sweep(), (synthetic.run("plain"),)))
    with pytest.raises(VmsimError, match="no axis of the sweep 'RMA'; did you mean 'RAM'"):
        curves.draw(swept(curves=Curves(x="RMA")))
    with pytest.raises(VmsimError, match="neither a phase nor a counter 'pgmajfalt'"):
        curves.draw(swept(curves=Curves(y=("pgmajfalt",))))


def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed() -> None:
    """Nearest rank: of 1..100 the 50th percentile is 50, the 99.9th 100."""
    counts = dict.fromkeys(range(1, 101), 1)
    assert [percentile(counts, share) for share in (0.5, 50, 99, 99.9)] == [1, 50, 99, 100]
    assert percentile({7: 9, 9: 1}, 90) == 7
    assert percentile({7: 9, 9: 1}, 90.1) == 9


def test_percentiles_of_all_kinds_of_accesses_together() -> None:
    latency = (LatencyRecord("web", "walk", (90,), (100,), (900,)), LatencyRecord("web", "major", (9000,), (10000,), (100,)))
    run = dataclasses.replace(synthetic.run("plain"), latency=latency)
    rows = tuple(row for row in synthetic.sweep().rows if row.row_id == "plain")
    figure = drawn(percentiles, Results(Path("r"), synthetic.sweep(rows=rows), (run,)))
    assert list(figure.axes[0].get_lines()[0].get_ydata()) == [100, 100, 10000, 10000, 10000, 10000]  # type: ignore[attr-defined]


def test_memory_over_time_adds_up() -> None:
    """The layers reach as high as their sum: 3 x 256 pages of 4 KiB are 3 MiB."""
    times = (0, 10**9, 2 * 10**9)
    held = {"nr_free_pages": (512, 256, 0), "nr_active_anon": (256, 512, 768), "pgmajfault": (0, 100, 300), "SwapFree": (1024, 1024, 0)}
    series = tuple(SeriesRecord(name, times, values) for name, values in held.items())
    run = dataclasses.replace(synthetic.run("plain"), series=series)
    rows = tuple(row for row in synthetic.sweep().rows if row.row_id == "plain")
    figure = drawn(timeline, Results(Path("r"), synthetic.sweep(rows=rows), (run,)))
    memory, rates = figure.axes[:2]  # type: ignore[attr-defined]
    assert memory.collections[-1].get_datalim(memory.transData).y1 == 3
    assert [line.get_ydata()[-1] for line in memory.get_lines()] == [1]  # MiB in swap
    assert list(rates.get_lines()[0].get_ydata()) == [100, 100, 200]
    assert rates.get_ylim()[1] >= 200
    with pytest.raises(VmsimError, match="no series of memory"):
        timeline.draw(Results(Path("r"), synthetic.sweep(rows=rows), (synthetic.run("plain"),)))
