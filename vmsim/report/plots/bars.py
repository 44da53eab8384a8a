"""Each phase's time, simulated beside published, a panel a phase."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from vmsim.experiment.store import Results
from vmsim.report.compare import PhaseLine, phase_lines
from vmsim.report.plots.style import (
    BLUE,
    FAINT,
    GREY,
    INK,
    VERMILION,
    hide_y_grid,
    log_ticks,
    new_figure,
    number_text,
    plain_ticks,
    time_unit,
    wants_log,
    wrapped,
)
from vmsim.report.table import stop_text
from vmsim.units import NS_PER_MS

_BAR = 0.36


def draw(results: Results) -> Figure:
    """Horizontal bars, one group a row; the error stands at the end of each pair."""
    lines = phase_lines(results)
    names = list(dict.fromkeys((line.row_id, line.row) for line in lines))
    phases = list(dict.fromkeys(line.phase for line in lines))
    published = any(line.published_ns is not None or line.published_fails for line in lines)
    title = f"{results.sweep.title}: simulated {'beside published ' if published else ''}times"
    figure = new_figure(3.2 + 4.6 * len(phases), 1.5 + 0.58 * len(names), title)
    panels = figure.subplots(1, len(phases), sharey=True, squeeze=False)[0]
    for axes, phase in zip(panels, phases, strict=True):
        at = {row_id: place for place, (row_id, _) in enumerate(names)}
        _panel(axes, phase, [(at[line.row_id], line) for line in lines if line.phase == phase])
    panels[0].set_yticks(range(len(names)), [wrapped(name) for _, name in names])
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    _legend(figure, lines, published)
    return figure


def _legend(figure: Figure, lines: Sequence[PhaseLine], published: bool) -> None:
    spread = any(line.spread_ns is not None for line in lines)
    keys = [Patch(facecolor=BLUE, label="simulated" + spread * " (mean; whisker: standard deviation over seeds)")]
    if published:
        keys.insert(0, Patch(facecolor=FAINT, edgecolor=GREY, hatch="////", label="published"))
    if any(line.within is False for line in lines):
        keys.append(Patch(facecolor=VERMILION, label="number in this colour: beyond tolerance"))
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys))


def _panel(axes: Axes, phase: str, lines: Sequence[tuple[int, PhaseLine]]) -> None:
    times = [ns for _, line in lines for ns in (line.simulated_ns, line.published_ns) if ns]
    log = wants_log(times)
    unit, per = ("ms", NS_PER_MS) if log else time_unit(max(times, default=0))
    if log:
        axes.set_xscale("log")
        axes.set_xlim(min(times) / per / 2.5, max(times) / per * 40)
    else:
        axes.set_xlim(0, max(times, default=per) / per * 1.42)
    for place, line in lines:
        _pair(axes, place, line, per)
    if log:
        log_ticks(axes.xaxis, plain_ticks())
    else:
        axes.xaxis.set_major_formatter(plain_ticks())
    axes.set_title(phase)
    axes.set_xlabel(f"time in {unit}" + (" (logarithmic)" if log else ""))
    hide_y_grid(axes)


def _pair(axes: Axes, place: int, line: PhaseLine, per: int) -> None:
    """The published bar above the simulated one, or one bar in the middle; each with its number."""
    middle = line.published_ns is None
    if line.published_ns is not None:
        at, length = place - _BAR / 2, line.published_ns / per
        axes.barh(at, length, _BAR, color=FAINT, edgecolor=GREY, hatch="////")
        _beside(axes, at, length, number_text(length), "#777777")
    if line.simulated_ns is None:
        agrees = "\n(as published)" if line.within else ""
        stopped = stop_text(line.stopped_by or "", line.stopped_after_signals)
        _beside(axes, place if middle else place + _BAR / 2, axes.get_xlim()[0], stopped + agrees, INK)
        return
    at, length, whisker = place if middle else place + _BAR / 2, line.simulated_ns / per, (line.spread_ns or 0) / per
    axes.barh(at, length, _BAR, xerr=whisker or None, error_kw={"elinewidth": 1, "capsize": 2}, color=BLUE)
    told = number_text(length)
    if line.error_percent is not None:
        told += f"   {round(line.error_percent, 1) + 0.0:+.1f} % {line.kind}"
    _beside(axes, at, length + whisker, told, VERMILION if line.within is False else INK)


def _beside(axes: Axes, place: float, length: float, told: str, colour: str) -> None:
    axes.annotate(
        told, (length, place), xytext=(5, 0), textcoords="offset points", va="center", fontsize=7.5, color=colour
    )
