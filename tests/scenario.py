"""Small machines for tests: a program as Python data, run to its end and verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmsim.machine.build import Built, build
from vmsim.machine.ending import UNTIL, Ending
from vmsim.machine.phases import Phase
from vmsim.machine.verify import verify
from vmsim.spec.experiment import ResolvedRun
from vmsim.struct import tasks as t
from vmsim.struct.errno import ERRNO_NAMES
from vmsim.struct.ledger import LEDGER_NAMES
from vmsim.struct.syscalls import SYSCALL_NAMES
from vmsim.struct.vmas import MM_LOCKED_VM, MM_MAP_COUNT
from vmsim.struct.vmstat import VMSTAT_NAMES

Steps = Sequence[Mapping[str, Any]]
PAGE = 4096
IMAGE_VMAS = 17
READ = ["PROT_READ"]
WRITE = ["PROT_READ", "PROT_WRITE"]
ROOT = ["CAP_IPC_LOCK"]


def scenario(program: Steps = (), tasks: Sequence[Mapping[str, Any]] | None = None, **given: Any) -> ResolvedRun:
    """One run's spec. `given`: keys of a task, of the machine or of the kernel, by name; `files`; all have small
    defaults.
    """
    kernel = {"version": given.pop("version", "4.4"), "sysctl": given.pop("sysctl", {})}
    for key in ("fault_around_bytes", "lru_gen", "rules", "slab", "transparent_hugepage"):
        if key in given:
            kernel[key] = given.pop(key)
    files = given.pop("files", {})
    machine = {
        "ram": given.pop("ram", "128 MiB"),
        "cpus": given.pop("cpus", 1),
        "devices": given.pop("devices", {"sda": {"type": "sata-ssd"}}),
    }
    for key in ("arch", "page_size", "tlb", "swap", "swaps", "costs"):
        if key in given:
            machine[key] = given.pop(key)
    if tasks is None:
        tasks = [{"name": "task", "program": list(program), **given}]
    return ResolvedRun.model_validate(
        {"row_id": "row", "row_name": "row", "machine": machine, "kernel": kernel, "files": files, "tasks": list(tasks)}
    )


@dataclass(frozen=True)
class Outcome:
    """A finished run and what tests ask of it, by the kernel's names."""

    built: Built
    ending: Ending

    def task(self, column: int, tid: int = 1) -> int:
        """A column of a task's row."""
        return int(self.built.kernel.task[tid, column])

    def vmstat(self, name: str) -> int:
        """A counter of /proc/vmstat at the end, since boot."""
        return int(self.built.kernel.vmstat[VMSTAT_NAMES.index(name)])

    @property
    def free_pages(self) -> int:
        """Frames that nobody uses: those of the zones, and those on the CPUs' lists."""
        return self.vmstat("nr_free_pages") + int(self.built.kernel.pcp.sum())

    def ledger(self, name: str, tid: int = 1) -> int:
        """A column of a task's ledger, ns."""
        return int(self.built.kernel.task_led[tid, LEDGER_NAMES.index(name)])

    def phase(self, name: str, task: str | None = None) -> Phase:
        """The phase of that name."""
        return next(p for p in self.built.machine.phase_results() if p.phase == name and task in (None, p.task))

    def register(self, name: str, tid: int = 1) -> int:
        """The value that a register holds at the end; only of programs assembled by `build`."""
        return int(self.built.kernel.reg[tid, self.built.registers[tid - 1][name]])

    def exit(self, tid: int = 1) -> str:
        """How a task ended: "done", "SIGSEGV", "mprotect: ENOMEM", "running"."""
        how = self.task(t.T_EXIT, tid)
        if how == t.EXIT_SIGNAL:
            return {7: "SIGBUS", 9: "SIGKILL", 11: "SIGSEGV"}[self.task(t.T_SIG, tid)]
        if how == t.EXIT_SYSCALL:
            return f"{SYSCALL_NAMES[self.task(t.T_STOP_NR, tid)]}: {ERRNO_NAMES[self.task(t.T_STOP_ERRNO, tid)]}"
        return {t.EXIT_DONE: "done", 0: "running"}[how]

    @property
    def vmas(self) -> int:
        """VMAs of the first task's address space."""
        return int(self.built.kernel.mm[1, MM_MAP_COUNT])

    @property
    def locked_vm(self) -> int:
        """VmLck of the first task, pages."""
        return int(self.built.kernel.mm[1, MM_LOCKED_VM])


def start(program: Steps = (), seed: int = 1, **given: Any) -> Built:
    """A machine that has not run yet."""
    return build(scenario(program, **given), seed=seed)


def finish(built: Built) -> Outcome:
    """Run a machine to its end and verify it."""
    ending = built.machine.run()
    verify(built.kernel)
    return Outcome(built, ending)


def run_verified(built: Built, stops: Sequence[int]) -> Ending:
    """Run a machine to its end; at each of the times `stops` (ns) that it reaches, and at the end, it is verified."""
    for stop in sorted(stops):
        if stop <= built.machine.clock.now:  # the slice that was running then has ended later
            continue
        ending = built.machine.run(until_ns=stop)
        verify(built.kernel)
        if ending.reason != UNTIL:
            return ending
    ending = built.machine.run()
    verify(built.kernel)
    return ending


def run(program: Steps = (), seed: int = 1, **given: Any) -> Outcome:
    """Build, run and verify."""
    return finish(start(program, seed, **given))


def mmap(length: str | int, name: str = "m", **given: Any) -> dict[str, Any]:
    """An mmap step."""
    return {"mmap": {"length": length, "as": name, **given}}


def phase(name: str, *steps: Mapping[str, Any]) -> dict[str, Any]:
    """A phase step."""
    return {"phase": {"name": name, "steps": list(steps)}}


def sweep(name: str = "m", count: int = 1, **given: Any) -> dict[str, Any]:
    """An access step, page after page."""
    return {"access": {"region": name, "pattern": {"type": "sequential"}, "count": count, **given}}
