"""What is in trace files, shown: a table, a line of the working set over time, JSON, a picture. The body of ``vmsim
trace inspect``."""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmsim.errors import VmsimError
from vmsim.units import format_bytes

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from vmsim.workload.trace.summary import Progress, TraceSummary, WorkingSet

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 64


def trace_inspect_command(
    files: Sequence[str | Path],
    format: str | None = None,
    json: bool = False,
    plot: str | Path | None = None,
    page_size: int = 4096,
    window: int | None = None,
) -> int:
    """Inspect trace files one after another and print what was found. `plot` names a PNG file for their working sets
    over time.

    Returns the exit status: 0, or 2 if a file could not be read or has a bad line or record (told on stderr, after its
    summary).
    """
    from rich.console import Console

    from vmsim.workload.trace.summary import inspect

    console, errors = Console(), Console(stderr=True)
    summaries: list[TraceSummary] = []
    status = 0
    for file in files:
        try:
            with _progress(errors, str(file)) as progress:
                summary = inspect(file, page_size, window, format, progress)
        except VmsimError as error:
            status = 2
            _tell(errors, str(error))
            continue
        summaries.append(summary)
        if not json:
            show(summary, console)
        if summary.first_bad is not None:
            status = 2
            _tell(errors, f"{summary.first_bad} [{_what_was_done(summary)}]")
    if json:
        # One object for one file, a list for several, so that a script for one file stays simple.
        tables = [summary.as_dict() for summary in summaries]
        print(json_text.dumps(tables[0] if len(files) == 1 and tables else tables, indent=1))
    if plot is not None and summaries:
        plot_working_sets(summaries, plot)
    return status


def show(summary: TraceSummary, console: Console) -> None:
    """Print a trace's summary as a table, its working set over time and its busiest regions."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(summary.path), title_justify="left", show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _facts(summary):
        table.add_row(name, Text(value))
    console.print(table)
    if summary.working_set:
        console.print(Text(f"working set over time ({summary.window:,} accesses a window)"), style="bold")
        line, lowest, highest = sparkline(summary.working_set)
        console.print(Text(f"{line}  {lowest:,.0f} to {highest:,.0f} pages"), soft_wrap=True)
    if summary.regions:
        console.print(_region_table(summary))
    console.print()


def sparkline(points: Sequence[WorkingSet], width: int = _WIDTH) -> tuple[str, float, float]:
    """The points as at most `width` bars from zero up, with the smallest and the largest number of pages. Neighbours
    that share a bar show the larger one."""
    columns = min(width, len(points))
    pages = [
        max(p.pages for p in points[i * len(points) // columns : (i + 1) * len(points) // columns])
        for i in range(columns)
    ]
    top = max(pages) or 1.0
    bars = "".join(_BARS[min(int(value / top * len(_BARS)), len(_BARS) - 1)] for value in pages)
    return bars, min(p.pages for p in points), max(p.pages for p in points)


def plot_working_sets(summaries: Sequence[TraceSummary], file: str | Path) -> None:
    """Draw working sets over time, and their mean by length of window, into a PNG file. Raises VmsimError if it
    can't be written."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    over_time, by_window = figure.subplots(1, 2)
    for summary in summaries:
        if not summary.working_set:
            continue
        starts = [point.first for point in summary.working_set]
        pages = [point.pages for point in summary.working_set]
        label = f"{Path(summary.path).name} (window {summary.window:,})"
        over_time.step([*starts, summary.accesses], [*pages, pages[-1]], where="post", label=label)
        windows, means = zip(*summary.working_set_by_window, strict=True)
        by_window.plot(windows, means, marker="o", markersize=3, label=Path(summary.path).name)
    over_time.set(
        title="Working set over time", xlabel="access", ylabel=f"pages of {format_bytes(summaries[0].page_size)}"
    )
    by_window.set(title="Mean working set by window", xlabel="window (accesses)", ylabel="pages")
    by_window.set_xscale("log", base=2)
    for axes in (over_time, by_window):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize="small")
    try:
        figure.savefig(file, format="png")
    except OSError as error:
        raise VmsimError(f"{file}: can't be written: {error.strerror}") from None


def _facts(summary: TraceSummary) -> Iterator[tuple[str, str]]:
    size = "" if summary.file_bytes is None else f", {format_bytes(summary.file_bytes)}"
    packed = "not compressed" if summary.compression == "none" else summary.compression
    yield "format", f"{summary.described}: {summary.sureness} ({summary.why})"
    yield (
        "file",
        f"{packed}{size}, read in {summary.seconds:.2f} s",
    )
    if summary.format == "strace":
        yield "lines", f"{summary.records:,}"
        calls = ", ".join(f"{count:,} {name}" for name, count in summary.calls.items()) or "none"
        yield "memory calls", f"{calls} ('vmsim strace {summary.path}' replays them, a step 'trace: {summary.path}' runs them)"
        yield "other calls", f"{summary.other_calls:,}, of {summary.processes:,} processes and threads in all"
    else:
        yield from _access_facts(summary)
    if summary.first_bad is not None:
        yield f"first bad {summary.unit}", f"{summary.first_bad.number:,}: {summary.first_bad.message}"
        yield f"bad {summary.unit}s", f"{summary.bad:,} ({_what_was_done(summary)})"


def _access_facts(summary: TraceSummary) -> Iterator[tuple[str, str]]:
    records = "" if summary.records == summary.accesses else f" in {summary.records:,} {summary.unit}s"
    yield "accesses", f"{summary.accesses:,}{records}"
    counts = {
        "reads": summary.reads,
        "writes": summary.writes,
        "fetches": summary.fetches,
        "modifies": summary.modifies,
    }
    shares = (f"{count:,} {name} ({count / summary.accesses:.1%})" for name, count in counts.items() if count)
    yield "operations", ", ".join(shares) or "none"
    if summary.addressing == "objects":
        yield "objects", f"each stands for one page; numbers {summary.lowest_address} to {summary.highest_address}"
    elif summary.lowest_address is not None and summary.highest_address is not None:
        yield "addresses", f"{summary.lowest_address:#x} to {summary.highest_address:#x}"
    exact = "" if summary.sampling == 1 else f", estimated from one page in {summary.sampling}"
    held = format_bytes(summary.footprint_pages * summary.page_size)
    yield "footprint", f"{summary.footprint_pages:,} pages of {format_bytes(summary.page_size)} = {held}{exact}"


def _region_table(summary: TraceSummary) -> Table:
    from rich.table import Table

    objects = summary.addressing == "objects"
    table = Table(box=None, title_justify="left")
    table.title = (
        "busiest objects" if objects else f"busiest regions ({len(summary.regions)} of {summary.regions_in_all})"
    )
    table.add_column("object" if objects else "addresses")
    for heading in ("touches", "share") if objects else ("pages", "touches", "share"):
        table.add_column(heading, justify="right")
    table.add_column("used")
    for region in summary.regions:
        where = str(region.start) if objects else f"{region.start:x}-{region.end:x}"
        cells = [f"{region.touches:,}", f"{region.touches / max(summary.accesses, 1):.1%}", region.kinds]
        table.add_row(where, *([] if objects else [f"{region.pages:,}"]), *cells)
    return table


def _what_was_done(summary: TraceSummary) -> str:
    if summary.stopped:
        return f"reading stopped after {summary.bad:,} bad {summary.unit}{'s' if summary.bad != 1 else ''}"
    return f"{summary.bad:,} bad {summary.unit}{'s' if summary.bad != 1 else ''} passed over; the rest was read"


def _tell(errors: Console, message: str) -> None:
    from rich.text import Text

    errors.print(Text(f"vmsim: {message}"), soft_wrap=True)


@contextmanager
def _progress(console: Console, file: str) -> Iterator[Progress | None]:
    """Bytes read, the rate and the time left, on a terminal."""
    if not console.is_terminal:
        yield None
        return
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns: list[Any] = [
        TextColumn(escape(Path(file).name)),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    ]
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("read", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


if __name__ == "__main__":
    sys.exit(trace_inspect_command(sys.argv[1:]))
