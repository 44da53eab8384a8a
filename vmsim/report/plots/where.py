"""Where the time went: the ledger of each row and phase as a stacked bar, in seconds and as shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vmsim.experiment.store import Results
from vmsim.report.compare import phases_of, rows_with_runs
from vmsim.report.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    SKY,
    VERMILION,
    YELLOW,
    hide_y_grid,
    new_figure,
    plain_ticks,
    time_unit,
    wrapped,
)
from vmsim.units import format_duration

SMALL = 0.005
"""Categories below this share of every bar are drawn together as `other`."""

# A look for each owner of time, the same in every plot: colour, hatch, and its name in the legend.
_LOOKS: dict[str, tuple[str, str, str]] = {
    "user": (GREEN, "", "user work"),
    "tlb": (SKY, "", "second-level TLB"),
    "walk": (BLUE, "", "page walk"),
    "trap": (YELLOW, "", "trap"),
    "fault": (ORANGE, "", "fault handling"),
    "zero": (PINK, "", "zeroing"),
    "copy": (VERMILION, "", "copying"),
    "reclaim": (GREY, "", "reclaim"),
    "syscall": (SKY, "////", "system call"),
    "vma": (PINK, "////", "VMA find, split, merge"),
    "signal": (BLUE, "////", "signal"),
    "switch": (GREEN, "////", "context switch"),
    "ipi": (YELLOW, "////", "IPI"),
    "io": (ORANGE, "////", "I/O submission"),
    "idle": ("#FFFFFF", "", "idle"),
    "runq_wait": (GREY, "////", "run-queue wait"),
    "read_wait": (VERMILION, "xxxx", "wait for a read"),
    "swap_wait": (PINK, "xxxx", "wait for swap"),
    "write_wait": (ORANGE, "xxxx", "wait for a write"),
    "memory_wait": (GREY, "xxxx", "wait for memory"),
    "sleep": ("#FFFFFF", "....", "sleep"),
}
_OTHER = "other"


@dataclass(frozen=True)
class _Bar:
    row: str
    phase: str
    ledger: Mapping[str, float]
    stopped: bool

    @property
    def total_ns(self) -> float:
        return sum(self.ledger.values())


def draw(results: Results) -> Figure:
    """Two panels over the same bars: time, and the share of each owner."""
    bars = _bars(results)
    shown = [name for name in _known(bars) if any(bar.ledger.get(name, 0) > SMALL * bar.total_ns for bar in bars)]
    folded = [_folded(bar, shown) for bar in bars]
    places, rows = _places(bars)
    figure = new_figure(13, 1.9 + 0.34 * len(bars) + 0.12 * len(rows), f"{results.sweep.title}: where the time went")
    time, shares = figure.subplots(1, 2, sharey=True)
    longest = max(bar.total_ns for bar in bars) or 1
    unit, per = time_unit(longest)
    for name in [*shown, _OTHER]:
        if any(ledger.get(name) for ledger in folded):
            _layer(time, name, places, folded, [per] * len(bars))
            _layer(shares, name, places, folded, [bar.total_ns / 100 or 1.0 for bar in bars])
    for bar, place in zip(bars, places, strict=True):
        told = f" {format_duration(bar.total_ns).replace('us', 'µs')}" + (" (stopped)" if bar.stopped else "")
        time.annotate(told, (bar.total_ns / per, place), va="center", fontsize=7.5)
    time.set_xlim(0, longest / per * 1.16)
    time.xaxis.set_major_formatter(plain_ticks())
    shares.set_xlim(0, 100)
    _label(time, bars, places, rows)
    for axes, title, label in (
        (time, "time", f"time in {unit} (mean over seeds)"),
        (shares, "share", "percent of the phase"),
    ):
        axes.set_title(title)
        axes.set_xlabel(label)
        hide_y_grid(axes)
    handles, labels = time.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=8, handlelength=2.2, handleheight=1.2)
    return figure


def _bars(results: Results) -> list[_Bar]:
    bars = []
    for row, runs in rows_with_runs(results):
        phases = [phases_of(run) for run in runs]
        for label in dict.fromkeys(label for of_run in phases for label in of_run):
            found = [of_run[label] for of_run in phases if label in of_run]
            names = dict.fromkeys(name for phase in found for name in phase.ledger)
            ledger = {name: sum(phase.ledger.get(name, 0) for phase in found) / len(found) for name in names}
            bars.append(_Bar(row.row_name, label, ledger, not all(phase.complete for phase in found)))
    return bars


def _known(bars: Sequence[_Bar]) -> list[str]:
    """All owners of time: the known ones in their order, then any others."""
    return list(dict.fromkeys([*_LOOKS, *(name for bar in bars for name in bar.ledger)]))


def _folded(bar: _Bar, shown: Sequence[str]) -> dict[str, float]:
    kept = {name: bar.ledger.get(name, 0) for name in shown}
    return {**kept, _OTHER: bar.total_ns - sum(kept.values())}


def _places(bars: Sequence[_Bar]) -> tuple[list[float], dict[str, list[float]]]:
    """Where each bar stands, with a gap between rows, and the places of each row."""
    places: list[float] = []
    rows: dict[str, list[float]] = {}
    for number, bar in enumerate(bars):
        gap = 0.45 if number and bar.row != bars[number - 1].row else 0.0
        places.append(places[-1] + 1 + gap if places else 0.0)
        rows.setdefault(bar.row, []).append(places[-1])
    return places, rows


def _layer(
    axes: Axes, name: str, places: Sequence[float], ledgers: Sequence[Mapping[str, float]], per: Sequence[float]
) -> None:
    before = [
        sum(list(ledger.values())[: list(ledger).index(name)]) / unit for ledger, unit in zip(ledgers, per, strict=True)
    ]
    widths = [ledger[name] / unit for ledger, unit in zip(ledgers, per, strict=True)]
    colour, hatch, told = _LOOKS.get(name, ("#CCCCCC", "\\\\\\\\", name))
    axes.barh(places, widths, 0.82, before, color=colour, hatch=hatch, edgecolor="#444444", linewidth=0.4, label=told)


def _label(axes: Axes, bars: Sequence[_Bar], places: Sequence[float], rows: Mapping[str, Sequence[float]]) -> None:
    axes.set_yticks(places, [bar.phase for bar in bars])
    axes.set_ylim(max(places) + 0.7, -0.7)
    minor = [sum(at) / len(at) for at in rows.values()]
    second = axes.secondary_yaxis(-0.17)
    second.set_yticks(minor, [wrapped(name) for name in rows])
    second.tick_params(length=0)
    second.spines["left"].set_visible(False)
