"""Memory over simulated time: what the frames hold, and what moves, of the first run of each row, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vmsim.errors import VmsimError
from vmsim.experiment.record import RunResult
from vmsim.experiment.store import Results
from vmsim.report.compare import rows_with_runs
from vmsim.report.plots.style import BLUE, FAINT, GREEN, INK, ORANGE, PINK, SKY, VERMILION, new_figure, plain_ticks, wrapped
from vmsim.units import MIB, NS_PER_S

MOST_ROWS: Final = 4
# What frames hold, from the bottom up: counters added, colour, hatch, name.
_HELD: Final = (
    (("nr_unevictable",), VERMILION, "", "unevictable"),
    (("nr_active_anon",), BLUE, "", "active, anonymous"),
    (("nr_inactive_anon",), SKY, "", "inactive, anonymous"),
    (("nr_active_file",), GREEN, "", "active, file"),
    (("nr_inactive_file",), GREEN, "////", "inactive, file"),
    (("nr_page_table_pages",), ORANGE, "", "page tables"),
    (("nr_free_pages",), FAINT, "", "free"),
)
_LOOKS: Final = (
    (BLUE, "-"),
    (VERMILION, (0, (5, 1.5))),
    (GREEN, (0, (1.5, 1.2))),
    (PINK, (0, (6, 1.5, 1.5, 1.5))),
    (ORANGE, "-"),
    (INK, "-"),
)
# Events a second, in panels: title, lines of name and counters added.
_RATES: Final[Sequence[tuple[str, Mapping[str, str]]]] = (
    ("faults and swap, pages a second", {"major faults": "pgmajfault", "pages swapped in": "pswpin", "pages swapped out": "pswpout"}),
    (
        "reclaim, pages a second",
        {
            "scanned by kswapd": "pgscan_kswapd_", "freed by kswapd": "pgsteal_kswapd_", "scanned by tasks": "pgscan_direct_",
            "freed by tasks": "pgsteal_direct_",
        },
    ),
)  # fmt: skip
_QUEUE: Final = ".in_flight"

Columns = Mapping[str, Sequence[int]]


def draw(results: Results) -> Figure:
    """A column a row, a panel for memory, for swap, and for each group of events that the series hold."""
    rows = [(row.row_name, runs[0]) for row, runs in rows_with_runs(results) if _columns(runs[0])][:MOST_ROWS]
    if not rows:
        raise VmsimError(f"{results.path} has no series of memory to draw (outputs: series: counters: [memory, paging, reclaim])")
    every = [_columns(run) for _, run in rows]
    rates = [(title, lines) for title, lines in _RATES if any(_summed(found, name) for found in every for name in lines.values())]
    queues = sorted({name for found in every for name in found if name.endswith(_QUEUE)})
    heights = [2.2, *[1.0] * (len(rates) + bool(queues))]
    figure = new_figure(2.8 + 3.6 * len(rows), 1.6 + 1.55 * sum(heights), f"{results.sweep.title}: memory over time")
    grid = figure.subplots(len(heights), len(rows), sharex="col", sharey="row", squeeze=False, height_ratios=heights)
    for column, ((name, run), found) in enumerate(zip(rows, every, strict=True)):
        panels = list(grid[:, column])
        seconds = [t / NS_PER_S for t in run.series[0].t_ns]
        _memory(panels[0], wrapped(name, 44), seconds, found, run.page_size_bytes)
        for axes, (title, lines) in zip(panels[1:], rates, strict=False):
            _rates(axes, title, seconds, {told: _summed(found, counter) for told, counter in lines.items()})
        if queues:
            _queue(panels[-1], seconds, {counter.removesuffix(_QUEUE): found[counter] for counter in queues if counter in found})
        panels[-1].set_xlabel("simulated time in seconds")
        panels[-1].set_xlim(0, max(seconds) or 1)
    grid[0, 0].set_ylabel("MiB")
    for row in range(len(heights)):
        grid[row, 0].set_ylim(bottom=0)
        handles = dict(item for axes in grid[row] for item in zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        grid[row, -1].legend(
            handles.values(), handles.keys(), loc="center left", bbox_to_anchor=(1.01, 0.5), handlelength=2.4, reverse=row == 0
        )
    return figure


def _columns(run: RunResult) -> Columns:
    """The series of a run by counter; none where memory is not among them."""
    found = {series.counter: series.value for series in run.series}
    return found if "nr_free_pages" in found else {}


def _summed(found: Columns, name: str) -> list[int]:
    """A counter, or the sum of those that begin so."""
    chosen = [value for counter, value in found.items() if (counter.startswith(name) if name.endswith("_") else counter == name)]
    return [sum(values) for values in zip(*chosen, strict=True)]


def _memory(axes: Axes, title: str, seconds: Sequence[float], found: Columns, page_bytes: int) -> None:
    below = [0.0] * len(seconds)
    for counters, colour, hatch, told in _HELD:
        held = [sum(found[counter][n] for counter in counters if counter in found) * page_bytes / MIB for n in range(len(seconds))]
        above = [low + more for low, more in zip(below, held, strict=True)]
        axes.fill_between(
            seconds, below, above, facecolor=colour, hatch=hatch, edgecolor="#FFFFFF" if hatch else colour, linewidth=0.3, label=told
        )
        below = above
    swap = found.get("SwapFree")
    if swap and max(swap):
        axes.plot(seconds, [(swap[0] - free) / 1024 for free in swap], color=INK, linewidth=1.8, label="in swap")
    axes.set_title(title)
    axes.yaxis.set_major_formatter(plain_ticks())


def _rates(axes: Axes, title: str, seconds: Sequence[float], lines: Mapping[str, Sequence[int]]) -> None:
    for number, (told, values) in enumerate(lines.items()):
        if not values:
            continue
        rates = [
            (after - before) / (end - begin)
            for begin, end, before, after in zip(seconds, seconds[1:], values, values[1:], strict=False)
            if end > begin
        ]
        colour, dashes = _LOOKS[number]
        axes.step(
            [0.0, *seconds[1 : len(rates) + 1]], [rates[0] if rates else 0, *rates], where="pre", color=colour, linestyle=dashes, label=told
        )
    axes.set_title(title)
    axes.yaxis.set_major_formatter(plain_ticks())


def _queue(axes: Axes, seconds: Sequence[float], lines: Mapping[str, Sequence[int]]) -> None:
    for number, (device, depth) in enumerate(lines.items()):
        colour, dashes = _LOOKS[number % len(_LOOKS)]
        axes.step(seconds, depth, where="post", color=colour, linestyle=dashes, label=device)
    axes.set_title("requests in the device and its queue")
