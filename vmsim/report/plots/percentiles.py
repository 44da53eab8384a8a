"""The slow end of a task's accesses: latency at the percentiles 50 to 99.99 and the slowest one, a panel a task, a line a row."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from vmsim.errors import VmsimError
from vmsim.experiment.record import RunResult
from vmsim.experiment.store import Results
from vmsim.report.compare import PERCENTILES, percentile, rows_with_runs
from vmsim.report.plots.style import line_look, log_ticks, new_figure, wrapped
from vmsim.units import format_duration

_MARKERS: Final = "osD^vPX*"
_MOST: Final = 4  # tasks


def draw(results: Results) -> Figure:
    """Accesses of all kinds together, as a program sees them; the seeds of a row are one distribution."""
    rows = {row.row_name: _by_task(runs) for row, runs in rows_with_runs(results)}
    tasks = list(dict.fromkeys(task for found in rows.values() for task in found))[:_MOST]
    if not tasks:
        raise VmsimError(f"{results.path} has no latency histograms to draw (outputs: histogram)")
    labels = [f"p{share:g}" for share in PERCENTILES] + ["max"]
    figure = new_figure(2.4 + 5 * len(tasks), 5.2, f"{results.sweep.title}: latency of an access, by percentile")
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        for number, (name, found) in enumerate(rows.items()):
            if task in found:
                look = {**line_look(number, len(rows)), "marker": _MARKERS[number % len(_MARKERS)], "markersize": 5}
                axes.plot(range(len(labels)), _points(found[task]), label=wrapped(name, 40), **look)
        axes.set_title(task)
        axes.set_yscale("log")
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlabel("percentile of the accesses")
        log_ticks(axes.yaxis, FuncFormatter(lambda ns, _: format_duration(ns).replace("us", "µs")))
    panels[0].set_ylabel("latency (logarithmic)")
    handles = dict(item for axes in panels for item in zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=min(3, len(handles)), handlelength=3)
    return figure


def _by_task(runs: Sequence[RunResult]) -> Mapping[str, Counter[int]]:
    """Accesses by the upper end of their latency's bucket in ns, of each task."""
    found: dict[str, Counter[int]] = defaultdict(Counter)
    for histogram in (histogram for run in runs for histogram in run.latency):
        for high, count in zip(histogram.high_ns, histogram.count, strict=True):
            found[histogram.task][high] += count
    return found


def _points(accesses: Mapping[int, int]) -> list[int]:
    return [*(percentile(accesses, share) for share in PERCENTILES), max(accesses)]
