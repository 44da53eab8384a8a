"""How each row of a sweep ended, as a chequered table: rows downwards, the combinations of the axes' values across.

A sweep of an experiment without rows has its first axis across, and the others downwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from vmsim.errors import VmsimError
from vmsim.experiment.record import RunResult
from vmsim.experiment.store import Results
from vmsim.report.compare import phases_of, rows_with_runs
from vmsim.report.plots.style import BLUE, INK, ORANGE, new_figure, wrapped
from vmsim.units import NS_PER_S, format_duration

_SHORT: Final[Mapping[str, str]] = {"killed by the OOM killer": "OOM kill", "kernel panic": "panic"}
_SHADES: Final = LinearSegmentedColormap.from_list("shades", ["#FFFFFF", BLUE])

Cell = tuple[float, str]
"""Time of all phases in ns (mean over the seeds), and what stopped a run of it, if any."""


def draw(results: Results) -> Figure:
    """A cell a run: the time of its phases together, darker for longer; hatched where the program was stopped."""
    axes_names = list(dict.fromkeys(axis for row in results.sweep.rows for axis in row.at))
    if not axes_names:
        raise VmsimError(f"{results.path} has no sweep to draw (rows without `at`)")
    across = axes_names if any(row.line for row in results.sweep.rows) else axes_names[:1]
    cells: dict[tuple[str, str], Cell] = {}
    for row, runs in rows_with_runs(results):
        column = "\n".join(f"{axis} {row.at[axis]}" for axis in across if axis in row.at)
        line = row.line or ", ".join(f"{axis} {value}" for axis, value in row.at.items() if axis not in across)
        cells[line, column] = _cell(runs)
    lines = list(dict.fromkeys(line for line, _ in cells))
    columns = list(dict.fromkeys(column for _, column in cells))
    figure = new_figure(3.6 + 1.25 * len(columns), 1.9 + 0.5 * len(lines), f"{results.sweep.title}: how each run ended")
    axes = figure.subplots()
    times = [time for time, stop in cells.values() if not stop and time > 0] or [NS_PER_S]
    shade = LogNorm(min(times) / 2, max(times) * 3)
    for (line, column), (time, stop) in cells.items():
        x, y = columns.index(column), lines.index(line)
        look = {"facecolor": "#FFF2D9", "edgecolor": ORANGE, "hatch": "////"} if stop else {"facecolor": _SHADES(shade(time))}
        axes.add_patch(Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, linewidth=0.5, **look))
        told = f"{_SHORT.get(stop, stop)}\n{_duration(time)}" if stop else _duration(time)
        axes.text(x, y, told, ha="center", va="center", fontsize=7.5, color=INK, backgroundcolor="#FFF2D9" if stop else "none")
    axes.set_xlim(-0.55, len(columns) - 0.45)
    axes.set_ylim(len(lines) - 0.45, -0.55)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(lines)), [wrapped(line) for line in lines])
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    for side in axes.spines.values():
        side.set_visible(False)
    keys = [
        Patch(facecolor=_SHADES(0.5), label="ran to its end: time of its phases, darker for longer"),
        Patch(facecolor="#FFF2D9", edgecolor=ORANGE, hatch="////", label="stopped, after that time"),
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=2)
    return figure


def _cell(runs: Sequence[RunResult]) -> Cell:
    stop = next((run.stopped_by for run in runs if run.stopped_by), None) or ""
    return sum(phase.elapsed_ns for run in runs for phase in phases_of(run).values()) / len(runs), stop


def _duration(ns: float) -> str:
    return format_duration(float(f"{ns:.3g}")).replace("us", "µs")
