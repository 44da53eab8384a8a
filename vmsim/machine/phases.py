"""Phases of a program, timed apart: what passed between two marks, in time, in counts and in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vmsim.errors import ImpossibleState
from vmsim.machine.tables import KernelTables
from vmsim.machine.task import Task
from vmsim.struct.ledger import LEDGER_NAMES, NR_LEDGER
from vmsim.struct.tasks import T_ACCESSES, T_MAJ_FLT, T_MIN_FLT, T_NIVCSW, T_NSIGNALS, T_NSYSCALLS, T_NVCSW
from vmsim.struct.vmstat import VMSTAT_NAMES

TASK_COUNTERS: Final[Mapping[str, int]] = {
    "accesses": T_ACCESSES, "syscalls": T_NSYSCALLS, "nr_signals": T_NSIGNALS, "ru_minflt": T_MIN_FLT,
    "ru_majflt": T_MAJ_FLT, "ru_nvcsw": T_NVCSW, "ru_nivcsw": T_NIVCSW,
}  # fmt: skip
_COLUMNS: Final = np.array(list(TASK_COUNTERS.values()))
_COUNTER_NAMES: Final = (*TASK_COUNTERS, *VMSTAT_NAMES)


@dataclass(frozen=True)
class Phase:
    """One named phase of one task, summed over its passes.

    It ran from `start_ns` of the first pass to `end_ns` of the last, `elapsed_ns` of it within passes. `complete` is
    false where the task ended inside it. `ledger` divides `elapsed_ns` exactly; `counters` has the task's counts and
    the changes of the machine's vmstat.
    """

    task: str
    tid: int
    phase: str
    passes: int
    start_ns: int
    end_ns: int
    elapsed_ns: int
    complete: bool
    counters: Mapping[str, int]
    ledger: Mapping[str, int]


class _Sum:
    """A phase so far: `began` is the snapshot of the pass in progress, None between passes."""

    __slots__ = ("passes", "start_ns", "end_ns", "elapsed_ns", "complete", "total", "began", "began_ns")

    def __init__(self, now_ns: int, size: int) -> None:
        self.passes = 0
        self.start_ns = now_ns
        self.end_ns = now_ns
        self.elapsed_ns = 0
        self.complete = True
        self.total: NDArray[np.int64] = np.zeros(size, np.int64)
        self.began: NDArray[np.int64] | None = None
        self.began_ns = 0


class PhaseRecorder:
    """Takes a snapshot at each mark; `names` are the phases' by id."""

    def __init__(self, kernel: KernelTables, names: Sequence[str]) -> None:
        self._kernel = kernel
        self._names = tuple(names)
        self._sums: dict[tuple[int, int], _Sum] = {}  # by tid and phase id, in the order of their first begin
        self._tasks: dict[int, Task] = {}

    def mark(self, task: Task, mark: int, now_ns: int) -> None:
        """A task has passed a mark (phase id << 1 | begins); its ledger is complete up to `now_ns`.

        Raises ImpossibleState if a phase begins inside itself, ends without having begun, or has no name.
        """
        phase, begins = mark >> 1, mark & 1
        if phase >= len(self._names):
            raise ImpossibleState(f"task {task} passes a mark of phase {phase} of {len(self._names)} at {now_ns} ns")
        key = (task.tid, phase)
        here = self._snapshot(task.tid)
        passed = self._sums.get(key)
        if passed is None:
            passed = self._sums[key] = _Sum(now_ns, len(here))
            self._tasks[task.tid] = task
        if begins == (passed.began is not None):
            what = "begins inside itself" if begins else "ends without having begun"
            raise ImpossibleState(f"phase {self._names[phase]!r} of task {task} {what} at {now_ns} ns")
        if begins:
            passed.began = here
            passed.began_ns = now_ns
        else:
            self._end(passed, here, now_ns)

    def task_ended(self, task: Task, now_ns: int) -> None:
        """A task has ended, and with it the phases that it was in."""
        for (tid, _), passed in self._sums.items():
            if tid == task.tid and passed.began is not None:
                passed.complete = False
                self._end(passed, self._snapshot(tid), now_ns)

    def phases(self) -> list[Phase]:
        """All phases with at least one pass that has ended, in the order in which they first began."""
        return [self._phase(tid, phase, passed) for (tid, phase), passed in self._sums.items() if passed.passes]

    def _snapshot(self, tid: int) -> NDArray[np.int64]:
        kernel = self._kernel
        parts: tuple[NDArray[Any], ...] = (kernel.task_led[tid], kernel.task[tid, _COLUMNS], kernel.vmstat)
        return np.concatenate(parts)

    def _end(self, passed: _Sum, here: NDArray[np.int64], now_ns: int) -> None:
        if passed.began is not None:
            passed.total += here - passed.began
        passed.began = None
        passed.passes += 1
        passed.end_ns = now_ns
        passed.elapsed_ns += now_ns - passed.began_ns

    def _phase(self, tid: int, phase: int, passed: _Sum) -> Phase:
        total = passed.total.tolist()
        ledger = dict(zip(LEDGER_NAMES, total[:NR_LEDGER], strict=True))
        counters = dict(zip(_COUNTER_NAMES, total[NR_LEDGER:], strict=True))
        return Phase(
            self._tasks[tid].name, tid, self._names[phase], passed.passes, passed.start_ns, passed.end_ns,
            passed.elapsed_ns, passed.complete, counters, ledger,
        )  # fmt: skip
