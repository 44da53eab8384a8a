"""What a person sees while runs are made: moving lines on a terminal, a line now and then elsewhere, nothing when asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

from vmsim.experiment.pool import Job, JobFailure
from vmsim.experiment.record import RunResult
from vmsim.units import format_duration

if TYPE_CHECKING:
    from rich.progress import TaskID

_PLAIN_SECONDS = 10.0


class Display:
    """Follows the jobs of a sweep and says nothing; the other displays build on it. A context manager around the sweep."""

    def __init__(self, title: str, jobs: list[Job], processes: int, expected_s: Mapping[str, float]) -> None:
        self.title = title
        self.total = len(jobs)
        self.done = 0
        self.processes = processes
        self.began = time.monotonic()
        self.open = {job.key for job in jobs}
        self.seconds: dict[str, list[float]] = {row: [seconds] for row, seconds in expected_s.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def started(self, job: Job) -> None:
        """A job has begun."""

    def progressed(self, job: Job, sim_ns: int, fraction: float | None) -> None:
        """A job has come to this simulated time."""

    def finished(self, job: Job, run: RunResult) -> None:
        """A job has given its result."""
        self.seconds.setdefault(job.row_id, []).append(run.wall_s)
        self._close(job)

    def failed(self, job: Job, failure: JobFailure) -> None:
        """A job has raised."""
        self._close(job)

    def _close(self, job: Job) -> None:
        self.done += 1
        self.open.discard(job.key)

    def left_s(self) -> float | None:
        """Host seconds until the last job is done, or None while no row's length is known."""
        known = {row: sum(seconds) / len(seconds) for row, seconds in self.seconds.items()}
        if not known:
            return None
        usual = sum(known.values()) / len(known)
        return sum(known.get(row, usual) for row, _ in self.open) / self.processes


class PlainDisplay(Display):
    """A line every ten seconds on standard error."""

    def __init__(self, title: str, jobs: list[Job], processes: int, expected_s: Mapping[str, float]) -> None:
        super().__init__(title, jobs, processes, expected_s)
        self.told = self.began

    def progressed(self, job: Job, sim_ns: int, fraction: float | None) -> None:
        """Tell it if the last line was long ago."""
        self._tell(f"row {job.row_id} seed {job.seed_index} {_how_far(sim_ns, fraction)}")

    def finished(self, job: Job, run: RunResult) -> None:
        """Tell it if the last line was long ago."""
        super().finished(job, run)
        self._tell(
            f"row {job.row_id} seed {job.seed_index} took {format_duration(run.sim_ns)} simulated, {run.wall_s:.1f} s real"
        )

    def failed(self, job: Job, failure: JobFailure) -> None:
        """Tell it at once."""
        super().failed(job, failure)
        print(f"failed: {failure}", file=sys.stderr, flush=True)

    def _tell(self, news: str) -> None:
        now = time.monotonic()
        if now - self.told < _PLAIN_SECONDS:
            return
        self.told = now
        left = self.left_s()
        ahead = "" if left is None or not self.open else f", about {_clock(left)} left"
        print(
            f"{_clock(now - self.began)}  {self.done} of {self.total} runs{ahead}  ({news})",
            file=sys.stderr,
            flush=True,
        )


class LiveDisplay(Display):
    """A bar for the whole sweep and one for each run in progress, on the terminal at standard error."""

    def __init__(self, title: str, jobs: list[Job], processes: int, expected_s: Mapping[str, float]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        super().__init__(title, jobs, processes, expected_s)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[told]}"),
            TimeElapsedColumn(),
        )
        self.bars = Progress(*columns, console=Console(stderr=True), transient=True)
        self.whole = self.bars.add_task(f"[bold]{title}", total=self.total, told=f"0/{self.total} runs")
        self.lines: dict[tuple[str, int], TaskID] = {}

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def started(self, job: Job) -> None:
        """A line of its own."""
        self.lines[job.key] = self.bars.add_task(f"  {job.row_id}, seed {job.seed_index}", total=None, told="starting")

    def progressed(self, job: Job, sim_ns: int, fraction: float | None) -> None:
        """How far the machine's clock is."""
        line = self.lines.get(job.key)
        if line is None:
            return
        self.bars.update(line, told=_how_far(sim_ns, fraction))
        if fraction is not None:
            self.bars.update(line, total=1.0, completed=fraction)

    def finished(self, job: Job, run: RunResult) -> None:
        """Its line goes."""
        super().finished(job, run)
        self._drop(job)

    def failed(self, job: Job, failure: JobFailure) -> None:
        """Its line goes, and what happened stays above the bars."""
        super().failed(job, failure)
        self.bars.console.print(f"failed: {failure}", markup=False)
        self._drop(job)

    def _drop(self, job: Job) -> None:
        line = self.lines.pop(job.key, None)
        if line is not None:
            self.bars.remove_task(line)
        left = self.left_s()
        ahead = "" if left is None else f", about {_clock(left)} left"
        self.bars.update(self.whole, completed=self.done, told=f"{self.done}/{self.total} runs{ahead}")


def _how_far(sim_ns: int, fraction: float | None) -> str:
    """Before the simulation begins, how much of a trace has been looked at; then how far the machine's clock is."""
    if fraction is not None and sim_ns == 0:
        return f"looking through a trace, {fraction:.0%}"
    return f"at {format_duration(sim_ns)} simulated" + ("" if fraction is None else f", {fraction:.0%} of a trace")


def choose_display(quiet: bool) -> type[Display]:
    """The display that fits where standard error goes."""
    return Display if quiet else LiveDisplay if sys.stderr.isatty() else PlainDisplay


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return (
        f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}" if whole >= 3600 else f"{whole // 60}:{whole % 60:02}"
    )
