"""What a strategy costs in memory and in start-up: memory held by the tasks of each row, beside the time of its first phase."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vmsim.experiment.record import RunResult
from vmsim.experiment.store import Results
from vmsim.report.compare import count_of, mean, phases_of, rows_with_runs, spread
from vmsim.report.plots.style import (
    BLUE,
    GREEN,
    ORANGE,
    SKY,
    hide_y_grid,
    log_ticks,
    new_figure,
    number_text,
    plain_ticks,
    wants_log,
    wrapped,
)
from vmsim.units import GIB, KIB, MIB, NS_PER_MS

_HELD = (
    ("VmRSS: resident", "vm_rss_pages", BLUE, ""),
    ("Mlocked: resident and never reclaimed", "nr_mlock", SKY, "...."),
    ("VmLck: charged against RLIMIT_MEMLOCK", "vm_lck_pages", ORANGE, "////"),
)
_BAR = 0.26


def draw(results: Results) -> Figure:
    """Two panels over the same rows: memory as the tasks ended, and the time of the first phase."""
    rows = rows_with_runs(results)
    figure = new_figure(12, 1.9 + 0.68 * len(rows), f"{results.sweep.title}: memory held and time to set up")
    memory, setup = figure.subplots(1, 2, sharey=True)
    _memory(memory, [runs for _, runs in rows])
    _setup(setup, [runs for _, runs in rows])
    memory.set_yticks(range(len(rows)), [wrapped(row.row_name) for row, _ in rows])
    memory.set_ylim(len(rows) - 0.4, -0.6)
    handles, labels = memory.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


def _memory(axes: Axes, rows: Sequence[Sequence[RunResult]]) -> None:
    held = {
        column: [mean([run.page_size_bytes * (count_of(run, column) or 0) for run in runs]) or 0.0 for runs in rows]
        for _, column, _, _ in _HELD
    }
    largest = max((value for values in held.values() for value in values), default=0.0)
    unit, per = next(((name, size) for name, size in (("GiB", GIB), ("MiB", MIB)) if largest >= 2 * size), ("KiB", KIB))
    for number, (told, column, colour, hatch) in enumerate(_HELD):
        places = [row + (number - 1) * _BAR for row in range(len(rows))]
        axes.barh(
            places,
            [value / per for value in held[column]],
            _BAR,
            color=colour,
            hatch=hatch,
            edgecolor="#444444",
            linewidth=0.4,
            label=told,
        )
        for place, value in zip(places, held[column], strict=True):
            axes.annotate(f" {number_text(value / per)}", (value / per, place), va="center", fontsize=7.5)
    axes.set_xlim(0, (largest / per or 1) * 1.15)
    axes.set_title("memory held at the end")
    axes.set_xlabel(unit)
    hide_y_grid(axes)


def _setup(axes: Axes, rows: Sequence[Sequence[RunResult]]) -> None:
    firsts = [[next(iter(phases_of(run).items())) for run in runs if run.tasks or run.phases] for runs in rows]
    names = list(dict.fromkeys(label for first in firsts for label, _ in first))
    times = [[phase.elapsed_ns for _, phase in first] for first in firsts]
    values = [(mean(of_row) or 0.0) / NS_PER_MS for of_row in times]
    spreads = [(spread(of_row) or 0.0) / NS_PER_MS for of_row in times]
    axes.barh(range(len(rows)), values, 2 * _BAR, xerr=spreads, error_kw={"elinewidth": 1, "capsize": 2}, color=GREEN)
    for place, value in enumerate(values):
        axes.annotate(
            number_text(value),
            (value + spreads[place], place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
        )
    log = wants_log(values)
    if log:
        axes.set_xscale("log")
        axes.set_xlim(min(value for value in values if value) / 3, max(values) * 8)
    else:
        axes.set_xlim(0, (max(values, default=0) or 1) * 1.15)
    if log:
        log_ticks(axes.xaxis, plain_ticks())
    else:
        axes.xaxis.set_major_formatter(plain_ticks())
    axes.set_title(f"time of phase {' / '.join(names)}")
    axes.set_xlabel("milliseconds" + (" (logarithmic)" if log else ""))
    hide_y_grid(axes)
