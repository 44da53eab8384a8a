"""A machine whose programs are Python lists, so that each test can say exactly what every slice does.

An instruction is ("cpu", ns): compute; ("read", block, pages): submit a read and sleep until it is done; ("ahead",
block, pages): submit and go on; ("sleep", ns); ("mark", phase, begins); ("wait", kind, argument); ("count", column).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vmsim.machine.block import BlockDevice
from vmsim.machine.machine import Machine, Options
from vmsim.machine.tables import entries_of
from vmsim.machine.task import Task
from vmsim.struct import files as f
from vmsim.struct import tasks as t
from vmsim.struct.costs import C_CONTEXT_SWITCH, NR_COSTS
from vmsim.struct.kernel import NR_BIOS, NR_SCALARS, SC_BIO_NEXT, SC_NR_NEW_BIOS, SC_PHASE_MARK
from vmsim.struct.ledger import L_USER, NR_LEDGER
from vmsim.struct.pages import FRAME_COLUMNS, P_FLAGS, PG_ERROR, PG_LOCKED
from vmsim.struct.swaps import DEV_COLUMNS
from vmsim.struct.vmstat import NR_VMSTAT, PGFAULT

Program = Sequence[tuple[Any, ...]]
FRAMES = 1 << 16


class FixedModel:
    """A device of `depth` parallel channels on which every request takes `service_ns`; it records what it was given."""

    rotational = False

    def __init__(self, service_ns: int = 100_000, depth: int = 1) -> None:
        self.depth = depth
        self.service_ns = service_ns
        self.seen: list[tuple[int, int, int, int]] = []

    def finish_ns(self, now_ns: int, write: int, first: int, nbytes: int) -> int:
        self.seen.append((now_ns, write, first, nbytes))
        return now_ns + self.service_ns


class FakeKernel:
    """The tables that the machine reads."""

    def __init__(self, cpus: int, tasks: int) -> None:
        self.task = np.zeros((tasks + 1, t.TASK_COLUMNS), np.int64)
        self.frame = np.zeros((FRAMES, FRAME_COLUMNS), np.int64)
        self.bio = np.zeros((NR_BIOS, f.BIO_COLUMNS), np.int64)
        self.dev = np.zeros((8, DEV_COLUMNS), np.int64)
        self.sc = np.zeros(NR_SCALARS, np.int64)
        self.cost = np.zeros(NR_COSTS, np.int64)
        self.vmstat = np.zeros(NR_VMSTAT, np.int64)
        self.cpu_led = np.zeros((cpus, NR_LEDGER), np.int64)
        self.task_led = np.zeros((tasks + 1, NR_LEDGER), np.int64)
        self.k = self


class Lab:
    """A machine of `cpus` CPUs and one task per program: t1, t2, ...; task i starts at `starts[i]` with `nices[i]`.

    Block b of a device is read into frame b + 1. `log` has (time, tid, instruction) for each begun instruction.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        cpus: int = 1,
        devices: Sequence[Any] = (),
        starts: Sequence[int] = (),
        nices: Sequence[int] = (),
        switch_ns: int = 0,
        complete_ns: int = 0,
        fault: Callable[[int, int, int, int], bool] | None = None,
        options: Options | None = None,
    ) -> None:
        self.kernel = FakeKernel(cpus, len(programs) + 1)
        self.kernel.cost[C_CONTEXT_SWITCH] = switch_ns
        self.programs = [list(program) for program in programs]
        self.complete_ns = complete_ns
        self.log: list[tuple[int, int, tuple[Any, ...]]] = []
        self.completed: list[tuple[int, int]] = []  # first page, error
        self.switched: list[tuple[int, int]] = []  # cpu, mm
        self.tasks = [
            Task(i + 1, f"t{i + 1}", starts[i] if starts else 0, nices[i] if nices else 0) for i in range(len(programs))
        ]
        self.kernel.task[:, t.T_MM] = np.arange(len(self.kernel.task))
        self.models = list(devices) or [FixedModel()]
        self.devices = [BlockDevice(f"sd{i}", model, 4096, fault) for i, model in enumerate(self.models)]
        entries = entries_of(self.kernel, self._run_slice, self._complete_bio, self._switch_mm)
        self.machine = Machine(self.kernel, self.devices, self.tasks, entries, options or Options())

    @property
    def now(self) -> int:
        return self.machine.clock.now

    def cpu(self, column: int, cpu: int = 0) -> int:
        return int(self.kernel.cpu_led[cpu, column])

    def led(self, column: int, tid: int = 1) -> int:
        return int(self.kernel.task_led[tid, column])

    def began(self, tid: int, what: str) -> list[int]:
        return [when for when, who, instruction in self.log if who == tid and instruction[0] == what]

    def _switch_mm(self, k: Any, cpu: int, mm: int) -> int:
        self.switched.append((cpu, mm))
        return 0

    def _complete_bio(self, k: Any, bio: int, error: int) -> int:
        row = self.kernel.bio[bio]
        assert row[f.B_STATE] == f.BIO_QUEUED
        first, pages = int(row[f.B_BLOCK]), int(row[f.B_PAGES])
        self.kernel.frame[first + 1 : first + 1 + pages, P_FLAGS] &= ~PG_LOCKED
        if error:
            self.kernel.frame[first + 1 : first + 1 + pages, P_FLAGS] |= PG_ERROR
        row[:] = 0
        self.completed.append((first, error))
        return self.complete_ns

    def _submit(self, tid: int, device: int, write: int, first: int, pages: int) -> None:
        sc, bio = self.kernel.sc, int(self.kernel.sc[SC_BIO_NEXT])
        while self.kernel.bio[bio, f.B_STATE] != f.BIO_FREE:
            bio = (bio + 1) % NR_BIOS
        sc[SC_BIO_NEXT] = (bio + 1) % NR_BIOS
        row = self.kernel.bio[bio]
        row[[f.B_STATE, f.B_DEVICE, f.B_WRITE, f.B_BLOCK, f.B_PAGES]] = f.BIO_NEW, device, write, first, pages
        row[f.B_TASK] = tid
        sc[SC_NR_NEW_BIOS] += 1
        self.kernel.frame[first + 1 : first + 1 + pages, P_FLAGS] |= PG_LOCKED

    def _run_slice(self, k: Any, cpu: int, tid: int, now: int, budget: int) -> int:
        """Carry out instructions for at most `budget` ns, each to its end but for "cpu", as a kernel would."""
        task = self.kernel.task[tid]
        program = self.programs[tid - 1]
        used = 0
        reason = -1
        assert budget >= 1
        while reason < 0:
            if not program:
                task[t.T_STATE] = t.TASK_DEAD
                reason = t.SLICE_EXIT
                break
            what, *args = program[0]
            self.log.append((now + used, tid, program[0]))
            if what == "cpu":
                spent = min(args[0], budget - used)
                used += spent
                if spent < args[0]:
                    program[0] = ("cpu", args[0] - spent)
                    reason = t.SLICE_BUDGET
                    break
            else:
                reason = self._carry_out(tid, what, args)
            program.pop(0)
            if reason < 0 and used >= budget:
                reason = t.SLICE_BUDGET
        self.kernel.cpu_led[cpu, L_USER] += used
        self.kernel.task_led[tid, L_USER] += used
        return used << 8 | reason

    def _carry_out(self, tid: int, what: str, args: list[Any]) -> int:
        task = self.kernel.task[tid]
        if what in ("read", "ahead", "write"):
            device = args[2] if len(args) > 2 else 0
            self._submit(tid, device, int(what == "write"), args[0], args[1])
            if what != "read":
                return t.SLICE_IO
            task[[t.T_WAIT, t.T_WAIT_ARG]] = t.WAIT_PAGE, args[0] + 1
        elif what == "reads":
            for first, pages in args[0]:
                self._submit(tid, 0, 0, first, pages)
            task[[t.T_WAIT, t.T_WAIT_ARG]] = t.WAIT_PAGE, args[0][-1][0] + 1
        elif what == "sleep":
            task[[t.T_WAIT, t.T_WAIT_ARG]] = t.WAIT_TIMER, args[0]
        elif what == "wait":
            task[[t.T_WAIT, t.T_WAIT_ARG]] = args
        elif what == "mark":
            self.kernel.sc[SC_PHASE_MARK] = args[0] << 1 | args[1]
            return t.SLICE_PHASE
        elif what == "count":
            task[args[0]] += 1
            self.kernel.vmstat[PGFAULT] += 1
            return -1
        else:
            raise ValueError(what)
        return t.SLICE_BLOCKED
