"""How long an access takes: the share of accesses slower than a time, on logarithmic axes, one line a row."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from vmsim.errors import VmsimError
from vmsim.experiment.record import RunResult
from vmsim.experiment.store import Results
from vmsim.report.compare import rows_with_runs
from vmsim.report.plots.style import line_look, log_ticks, new_figure, wrapped
from vmsim.units import format_duration

ALL = "all accesses"

_KINDS = {
    "tlb_hit": "TLB hit",
    "walk": "page walk, no fault",
    "minor": "minor fault",
    "major": "major fault",
}

Buckets = Counter[tuple[int, int]]
"""Accesses by the lowest and highest latency in ns of their bucket."""


def draw(results: Results) -> Figure:
    """All accesses in a large panel; each kind that occurs in a small one below it."""
    rows = {row.row_name: _histograms(runs) for row, runs in rows_with_runs(results)}
    occurring = {kind for histograms in rows.values() for kind in histograms}
    if not occurring:
        raise VmsimError(f"{results.path} has no latency histograms to draw (outputs: histogram)")
    kinds = [kind for kind in (*_KINDS, *sorted(occurring - _KINDS.keys() - {ALL})) if kind in occurring]
    figure = new_figure(12.5, 8.2, f"{results.sweep.title}: latency of an access")
    panels = _panels(figure, kinds)
    for number, (name, histograms) in enumerate(rows.items()):
        look = line_look(number, len(rows))
        for kind in histograms:
            times, slower = survival(histograms[kind])
            panels[kind].step(times, slower, where="post", label=wrapped(name, 40), **look)
    for kind, axes in panels.items():
        _finish(axes, _KINDS.get(kind, kind))
    panels[ALL].set_ylabel("share of accesses slower than this")
    panels[kinds[0]].set_ylabel("share slower")
    handles, labels = panels[ALL].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", labelspacing=0.9, handlelength=3)
    return figure


def _panels(figure: Figure, kinds: Sequence[str]) -> dict[str, Axes]:
    grid = figure.add_gridspec(2, len(kinds), height_ratios=[1.7, 1])
    return {
        ALL: figure.add_subplot(grid[0, :]),
        **{kind: figure.add_subplot(grid[1, n]) for n, kind in enumerate(kinds)},
    }


def _histograms(runs: Sequence[RunResult]) -> dict[str, Buckets]:
    """The buckets of each kind that occurs, and of all accesses, added over the runs and tasks of a row."""
    found: dict[str, Buckets] = defaultdict(Counter)
    for histogram in (histogram for run in runs for histogram in run.latency):
        for low, high, count in zip(histogram.low_ns, histogram.high_ns, histogram.count, strict=True):
            found[histogram.kind][low, high] += count
            found[ALL][low, high] += count
    return dict(found)


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(top=1.4)
    low, high = axes.get_xlim()
    log_ticks(
        axes.xaxis,
        FuncFormatter(lambda ns, _: format_duration(ns).replace("us", "µs")),
        within_decade=(1, 3) if high < 50 * low else (1,),
    )
    if high < 8 * low:  # hardly a power of ten in sight
        axes.xaxis.set_major_locator(MaxNLocator(3))
    log_ticks(axes.yaxis, FuncFormatter(lambda share, _: f"{100 * share:.10f}".rstrip("0").rstrip(".") + " %"))
    axes.set_xlabel("latency (logarithmic)")


def survival(buckets: Buckets) -> tuple[list[int], list[float]]:
    """Upper ends of the buckets in ns, and the share of accesses that are slower; starts with 1 at the lowest latency."""
    total = sum(buckets.values())
    times, slower, left = [min(low for low, _ in buckets)], [1.0], total
    for (_, high), count in sorted(buckets.items()):
        left -= count
        times.append(high)
        slower.append(left / total)
    return times, slower
