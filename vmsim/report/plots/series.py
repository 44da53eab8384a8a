"""Counters over simulated time, a panel a counter, one line a row (the first run of each)."""

from __future__ import annotations

from matplotlib.figure import Figure

from vmsim.errors import VmsimError
from vmsim.experiment.store import Results
from vmsim.report.compare import rows_with_runs
from vmsim.report.plots.style import line_look, new_figure, plain_ticks, wrapped
from vmsim.units import NS_PER_S


def draw(results: Results) -> Figure:
    """Panels below each other over one time axis."""
    rows = [(row.row_name, runs[0].series) for row, runs in rows_with_runs(results)]
    counters = list(dict.fromkeys(series.counter for _, kept in rows for series in kept))
    if not counters:
        raise VmsimError(f"{results.path} has no series to draw (outputs: series)")
    told = f"{results.sweep.title}: counters over simulated time"
    moved = [name for name in counters if any(any(series.value) for _, kept in rows for series in kept if series.counter == name)]
    if moved and moved != counters:
        told += f" ({len(counters) - len(moved)} that stay 0 are left out)"
        counters = moved
    figure = new_figure(12.5, 1.4 + 2.3 * len(counters), told)
    panels = figure.subplots(len(counters), 1, sharex=True, squeeze=False)[:, 0]
    lines = {}
    for number, (name, kept) in enumerate(rows):
        look = line_look(number, len(rows))
        for series in [series for series in kept if series.counter in counters]:
            seconds = [t / NS_PER_S for t in series.t_ns]
            axes = panels[counters.index(series.counter)]
            (lines[wrapped(name, 40)],) = axes.plot(seconds, series.value, **look)
    for axes, counter in zip(panels, counters, strict=True):
        axes.set_title(counter)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(plain_ticks())
    panels[-1].set_xlabel("simulated time in seconds")
    panels[-1].set_xlim(left=0)
    figure.legend(lines.values(), lines.keys(), loc="outside right upper", labelspacing=0.9, handlelength=3)
    return figure
