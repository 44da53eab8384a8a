"""A sweep as curves: one axis from left to right, a panel for each time or count, a line for each row of the experiment."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from vmsim.errors import VmsimError, unknown_name
from vmsim.experiment.record import PhaseRecord, RunResult
from vmsim.experiment.store import Results
from vmsim.report.compare import count_of, phases_of, rows_with_runs
from vmsim.report.plots.style import (
    GREY,
    line_look,
    log_ticks,
    new_figure,
    plain_ticks,
    time_unit,
    wants_log,
    wrapped,
)
from vmsim.units import parse_bytes, parse_duration

_MARKERS = "osD^vPX*"


@dataclass(frozen=True)
class _Panel:
    title: str
    is_time: bool


@dataclass(frozen=True)
class _Place:
    """A row on the axis, with its runs."""

    x: str
    line: str
    runs: Sequence[RunResult]


def draw(results: Results) -> Figure:
    """Panels beside each other over the same axis; means over the seeds, bars from the least to the greatest."""
    axis = _axis(results)
    places = _places(results, axis)
    panels = _panels(results, places)
    lines = list(dict.fromkeys(place.line for place in places))
    scale = _Scale([place.x for place in places])
    ticks = scale.ticks
    width = 2.1 + 4.4 * min(3, len(panels))
    down = -(-len(panels) // 3)
    figure = new_figure(width, 1.3 + 3.3 * down + 0.25 * (len(lines) > 1), results.sweep.title)
    grid = figure.subplots(down, min(3, len(panels)), sharex=True, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _panel(axes, panel, places, lines, scale)
        _marks(axes, results.sweep.curves.marks, scale)
        axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: ticks.get(value, "")))
        axes.set_xlabel(axis)
        axes.tick_params(axis="x", labelbottom=True, labelrotation=45 if max(map(len, ticks.values())) > 6 and len(ticks) > 6 else 0)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_visible(False)
    if len(lines) > 1:
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(lines)), handlelength=3)
    return figure


def _axis(results: Results) -> str:
    """The axis that goes from left to right. Raises VmsimError where there is none."""
    known = list(dict.fromkeys(axis for row in results.sweep.rows for axis in row.at))
    if not known:
        raise VmsimError(f"{results.path} has no sweep to draw (rows without `at`)")
    chosen = results.sweep.curves.x or known[0]
    if chosen not in known:
        raise VmsimError(unknown_name("axis of the sweep", chosen, known))
    return chosen


def _places(results: Results, axis: str) -> list[_Place]:
    places = []
    for row, runs in rows_with_runs(results):
        if axis in row.at:
            others = [f"{name} {value}" for name, value in row.at.items() if name != axis]
            places.append(_Place(row.at[axis], ", ".join([*([row.line] if row.line else []), *others]), runs))
    if not places:
        raise VmsimError(f"{results.path} has no runs of rows on the axis {axis!r}")
    return places


def _panels(results: Results, places: Sequence[_Place]) -> list[_Panel]:
    phases = list(dict.fromkeys(phase for place in places for run in place.runs for phase in _phases(run)))
    asked = results.sweep.curves.y or tuple(phases)
    for name in asked:
        counted = any(count_of(run, name) is not None for place in places for run in place.runs)
        if name not in phases and not counted:
            raise VmsimError(f"{results.path} has neither a phase nor a counter {name!r} (curves: y)")
    return [_Panel(name, name in phases) for name in asked]


def _value(run: RunResult, panel: _Panel) -> float | None:
    """What a run gives for a panel; None for the time of a phase that it did not complete."""
    if not panel.is_time:
        return count_of(run, panel.title)
    return _phases(run).get(panel.title)


def _phases(run: RunResult) -> Mapping[str, int | None]:
    """The time of each phase in ns: of one that several tasks have from the first beginning to the last end; None: not completed."""
    found: dict[str, list[PhaseRecord]] = {}
    for phase in phases_of(run).values():
        found.setdefault(phase.phase, []).append(phase)
    return {name: _span(passed) if all(phase.complete for phase in passed) else None for name, passed in found.items()}


def _span(phases: Sequence[PhaseRecord]) -> int:
    if len(phases) == 1:
        return phases[0].elapsed_ns
    return max(phase.end_ns for phase in phases) - min(phase.start_ns for phase in phases)


class _Scale:
    """Where the axis' texts stand: quantities and numbers where they belong, other texts side by side in the order of the sweep.

    Numbers that span a factor of 8 stand at their logarithms; if one of them is 0, side by side.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = list(dict.fromkeys(texts))
        self._parse = next((parse for parse in _PARSERS if all(_number(parse, text) is not None for text in self._texts)), None)
        numbers = sorted(_number(self._parse, text) or 0.0 for text in self._texts) if self._parse else []
        positive = [number for number in numbers if number > 0]
        self._wide = len(positive) > 1 and positive[-1] >= 8 * positive[0]
        self._numbers = numbers if self._wide and numbers[0] <= 0 and positive[-1] >= 16 * positive[0] else []
        self._log = self._wide and numbers[0] > 0
        self.ticks = {place: text for text in self._texts if (place := self.place(text)) is not None}

    def place(self, text: str) -> float | None:
        """Where a text stands; None where it has no place on this axis."""
        if self._parse is None:
            return float(self._texts.index(text)) if text in self._texts else None
        number = _number(self._parse, text)
        if self._numbers:
            return float(self._numbers.index(number)) if number in self._numbers else None
        if self._log:
            return math.log2(number) if number is not None and number > 0 else None
        return number


def _number(parse: Callable[[str], float] | None, text: str) -> float | None:
    try:
        number = float(parse(text)) if parse else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


_PARSERS: Sequence[Callable[[str], float]] = (float, parse_bytes, parse_duration)


def _panel(axes: Axes, panel: _Panel, places: Sequence[_Place], lines: Sequence[str], scale: _Scale) -> None:
    found: dict[str, list[tuple[float, list[float]]]] = {line: [] for line in lines}
    stopped: list[tuple[float, str]] = []
    for place in places:
        x = scale.place(place.x) or 0.0
        values = [value for run in place.runs if (value := _value(run, panel)) is not None]
        if values:
            found[place.line].append((x, values))
        if len(values) < len(place.runs):
            stopped.append((x, next((run.stopped_by for run in place.runs if run.stopped_by), "not reached")))
    everything = [value for points in found.values() for _, values in points for value in values]
    unit, per = time_unit(max(everything, default=0)) if panel.is_time else ("", 1)
    for number, line in enumerate(lines):
        points = sorted(found[line])
        means = [sum(values) / len(values) / per for _, values in points]
        bars = [[mean - min(values) / per for mean, (_, values) in zip(means, points, strict=True)],
                [max(values) / per - mean for mean, (_, values) in zip(means, points, strict=True)]]  # fmt: skip
        look = {**line_look(number, len(lines)), "marker": _MARKERS[number % len(_MARKERS)], "markersize": 5}
        axes.errorbar(
            [x for x, _ in points], means, bars if any(map(any, bars)) else None, label=wrapped(line, 40), capsize=2, elinewidth=1, **look
        )
    _finish(axes, panel, unit, [value / per for value in everything])
    for x, told in dict.fromkeys(stopped):
        axes.annotate(f"× {told}", (x, 0.02), xycoords=("data", "axes fraction"), rotation=90, fontsize=7.5, ha="center", va="bottom")


def _finish(axes: Axes, panel: _Panel, unit: str, values: Sequence[float]) -> None:
    axes.set_title(panel.title)
    log = wants_log(values)
    if log:
        axes.set_yscale(
            "symlog" if min(values) <= 0 else "log", **({"linthresh": min(v for v in values if v > 0)} if min(values) <= 0 else {})
        )
        log_ticks(axes.yaxis, plain_ticks()) if min(values) > 0 else axes.yaxis.set_major_formatter(plain_ticks())
    else:
        axes.set_ylim(0, 1.08 * max(values, default=1) or 1)
        axes.yaxis.set_major_formatter(plain_ticks())
    axes.set_ylabel((f"time in {unit}" if panel.is_time else "count") + (" (logarithmic)" if log else ""))


def _marks(axes: Axes, marks: Mapping[str, str], scale: _Scale) -> None:
    """Dotted lines across a panel, with their texts at the top."""
    for told, place in marks.items():
        x = scale.place(place)
        if x is None:
            continue
        axes.axvline(x, color=GREY, linestyle=":", linewidth=1.4, zorder=0)
        axes.annotate(
            told, (x, 0.99), xytext=(3, 0), xycoords=("data", "axes fraction"), textcoords="offset points", fontsize=7.5, va="top"
        )
