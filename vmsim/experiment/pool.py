"""Runs many jobs (a row under a seed) over processes: the longest first, each result handed over as soon as it is there.

The calling process makes runs too: it begins at once, while the others still start, so a small sweep never waits for them.
What a run gives does not depend on how many processes there are; only the order in which results arrive does.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from typing import Any, Protocol

from vmsim.errors import VmsimError
from vmsim.experiment.record import RunResult

Progress = Callable[[int, float | None], None]
"""Called from inside a run with the simulated time in ns and the fraction of the trace in hand that has been read, if there is one."""

Keep = Callable[[RunResult], None]
"""Saves a result."""

_REPORT_SECONDS = 0.05
_POLL_SECONDS = 0.1
_MOST_POOLS = 3


@dataclass(frozen=True)
class Job:
    """One run to be made: the resolved spec of a row, the base seed and the outputs go to the simulation as they are."""

    row_id: str
    seed_index: int
    run: Any
    seed: int = 1
    outputs: Any = None

    @property
    def key(self) -> tuple[str, int]:
        """The row and the seed."""
        return self.row_id, self.seed_index


RunOne = Callable[[Job, Progress], RunResult]
"""Makes the run of a job."""


@dataclass(frozen=True)
class JobFailure:
    """A run that raised instead of giving a result; `user_error` where the input is to blame and not vmsim."""

    row_id: str
    seed_index: int
    message: str
    trace: str
    user_error: bool

    def __str__(self) -> str:
        return f"row {self.row_id!r}, seed {self.seed_index}: {self.message}"


class Watcher(Protocol):
    """Is told what happens to the jobs, always in the process that called `run_jobs`."""

    def started(self, job: Job) -> None:
        """A job has begun."""

    def progressed(self, job: Job, sim_ns: int, fraction: float | None) -> None:
        """A job has come to this simulated time."""

    def finished(self, job: Job, run: RunResult) -> None:
        """A job has given its result."""

    def failed(self, job: Job, failure: JobFailure) -> None:
        """A job has raised."""


def simulate(job: Job, progress: Progress) -> RunResult:
    """The simulation itself, imported only where it runs."""
    from vmsim.experiment.run import run_one

    return run_one(job.run, job.seed_index, seed=job.seed, outputs=job.outputs, progress=progress)


def ensure_compiled(announce: Callable[[str], None]) -> None:
    """Compile the kernel in this process if this machine has not done so yet, so that every worker loads it from the cache."""
    from vmsim.struct.jit import is_cache_warm

    if is_cache_warm():
        return
    announce("Compiling the kernel (first run on this machine, less than a minute) ...")
    from vmsim.machine import warm_up

    warm_up()


def run_jobs(
    jobs: Sequence[Job],
    keep: Keep,
    watcher: Watcher,
    processes: int,
    expected_s: Mapping[str, float] | None = None,
    run_one: RunOne = simulate,
) -> list[JobFailure]:
    """Run all jobs, at most `processes` at a time, and return those that failed; one failure does not stop the others.

    Each result goes to `keep` as soon as it is there.  `expected_s` holds host seconds of a run of each row, where known.
    On KeyboardInterrupt the workers are ended and the exception goes on; what was finished has been kept.
    """
    return _Pool(jobs, keep, watcher, dict(expected_s or {}), run_one).run(min(processes, len(jobs)) - 1)


def _attempt(run_one: RunOne, job: Job, progress: Progress) -> RunResult | JobFailure:
    """The result, or the failure as plain text: an exception of any kind then crosses the process border."""
    try:
        return run_one(job, progress)
    except Exception as error:
        user_error = isinstance(error, VmsimError)
        message = str(error) if user_error else f"{type(error).__name__}: {error}"
        return JobFailure(*job.key, message, traceback.format_exc(), user_error)


def _throttled(report: Progress) -> Progress:
    last = time.monotonic()

    def progress(sim_ns: int, fraction: float | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _REPORT_SECONDS:
            last = now
            report(sim_ns, fraction)

    return progress


class _Trouble(BaseException):
    """Something went wrong beside a run that was in progress here: it must not pass for a failure of that run."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class _Pool:
    """The jobs of one call of `run_jobs`, made here and by other processes beside it."""

    def __init__(
        self, jobs: Sequence[Job], keep: Keep, watcher: Watcher, expected_s: dict[str, float], run_one: RunOne
    ) -> None:
        self.pending = list(jobs)
        self.by_key = {job.key: job for job in jobs}
        self.keep = keep
        self.watcher = watcher
        self.expected_s = expected_s
        self.run_one = run_one
        self.failures: list[JobFailure] = []
        self.running: dict[Future[RunResult | JobFailure], Job] = {}
        self.here = ""  # row of the run that this process makes
        self.workers: _Workers | None = None

    def run(self, others: int) -> list[JobFailure]:
        """Make all runs. Where a worker dies, what ran in its pool is lost; new workers then take the place of the old."""
        pools = _MOST_POOLS if others else 0
        try:
            while self.pending or self.running:
                if self.workers is None and pools:
                    self.workers = _Workers(others)
                    pools -= 1
                self._serve()
                if self.pending:
                    self._run_here(self._next())
                elif self.running:
                    wait(self.running, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        except _Trouble as trouble:
            raise trouble.error from None
        finally:
            if self.workers is not None:
                self.workers.end()
        return self.failures

    def _next(self) -> Job:
        """A row not seen yet, so that its length gets known; then the longest row that waits."""
        seen = {job.row_id for job in self.running.values()} | self.expected_s.keys() | {self.here}
        unseen = next((job for job in self.pending if job.row_id not in seen), None)
        return unseen or max(self.pending, key=lambda job: self.expected_s.get(job.row_id, 0.0))

    def _run_here(self, job: Job) -> None:
        self.pending.remove(job)
        self.here = job.row_id
        self.watcher.started(job)

        def beside(sim_ns: int, fraction: float | None) -> None:
            try:
                self.watcher.progressed(job, sim_ns, fraction)
                self._serve()
            except Exception as error:
                raise _Trouble(error) from error

        self._settle(job, _attempt(self.run_one, job, _throttled(beside)))
        self.here = ""

    def _serve(self) -> None:
        """Hear the workers, take their results, and give those that are free their next jobs; never waits."""
        workers = self.workers
        if workers is None:
            return
        for key, *news in workers.heard():
            if news:
                self.watcher.progressed(self.by_key[key], *news)
            else:
                self.watcher.started(self.by_key[key])
        for future in [future for future in self.running if future.done()]:
            self._collect(workers, self.running.pop(future), future)
        while self.pending and not workers.broken and len(self.running) < workers.begun:
            job = self._next()
            submitted = workers.submit(self.run_one, job)
            if submitted is not None:
                self.running[submitted] = job
                self.pending.remove(job)
        if workers.broken and not self.running:
            workers.end()
            self.workers = None

    def _collect(self, workers: _Workers, job: Job, future: Future[RunResult | JobFailure]) -> None:
        try:
            self._settle(job, future.result())
        except BrokenProcessPool:
            workers.broken = True
            lost = "the process that ran it, or one beside it, died (killed, or out of memory)"
            self._settle(job, JobFailure(*job.key, lost, "", False))

    def _settle(self, job: Job, outcome: RunResult | JobFailure) -> None:
        if isinstance(outcome, JobFailure):
            self.failures.append(outcome)
            self.watcher.failed(job, outcome)
        else:
            self.expected_s[job.row_id] = outcome.wall_s
            self.keep(outcome)
            self.watcher.finished(job, outcome)


class _Workers:
    """Other processes that make runs. `begun` of them have started; once one has died they are all `broken`."""

    def __init__(self, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        before = set(multiprocessing.active_children())
        # A queue of their own: a worker that dies may leave the lock of its queue held for ever.
        self.messages: SimpleQueue[Any] = context.SimpleQueue()
        self.executor = ProcessPoolExecutor(number, context, initializer=_begin_worker, initargs=(self.messages,))
        self.begun = 0
        self.broken = False
        with _interrupts_held():
            for _ in range(number):  # the executor starts a process for each submission that finds none idle
                self.executor.submit(os.getpid)
        self.processes = set(multiprocessing.active_children()) - before

    def heard(self) -> list[tuple[Any, ...]]:
        """What workers said of their jobs since the last call: (key,) of one begun, (key, sim_ns, fraction) of one in progress."""
        news = []
        while not self.messages.empty():
            message = self.messages.get()
            if message:
                news.append(message)
            else:
                self.begun += 1
        return news

    def submit(self, run_one: RunOne, job: Job) -> Future[RunResult | JobFailure] | None:
        """Give a job to a worker; None if the workers turn out to be broken."""
        try:
            with _interrupts_held():
                return self.executor.submit(_work, run_one, job)
        except BrokenProcessPool:
            self.broken = True
            return None

    def end(self) -> None:
        """End all of them at once, also those that are still starting; they hold nothing that is worth waiting for."""
        for process in self.processes:
            process.terminate()
        self.executor.shutdown()


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start workers with Ctrl-C blocked, which they inherit: it is for the parent to decide what an interrupt means."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_messages: SimpleQueue[Any] | None = None


def _begin_worker(messages: SimpleQueue[Any]) -> None:
    global _messages
    _messages = messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    messages.put(())


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(run_one: RunOne, job: Job) -> RunResult | JobFailure:
    messages = _messages
    if messages is None:
        raise RuntimeError("a worker was not begun")
    messages.put((job.key,))
    return _attempt(run_one, job, _throttled(lambda sim_ns, fraction: messages.put((job.key, sim_ns, fraction))))
