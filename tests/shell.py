"""A task whose system calls and accesses a test makes one at a time, through the interpreter as any program does."""

from __future__ import annotations

from typing import Any

from scenario import start

from vmsim.machine.switch import compiled_entries
from vmsim.machine.verify import verify
from vmsim.machine.verify_vmas import vma_list
from vmsim.struct import files as f
from vmsim.struct import tasks as t
from vmsim.struct import vmas as v
from vmsim.struct.kernel import SC_NR_NEW_BIOS
from vmsim.struct.ledger import L_RUNQ
from vmsim.struct.syscalls import SYSCALL_NAMES
from vmsim.struct.vmstat import VMSTAT_NAMES
from vmsim.workload import instructions as ins

_ROW = 40  # of `code`, behind the task's own (empty) program
_LONG = 1 << 60
_RESULT = 1


class Shell:
    """Task 1 of a machine without time: reads are complete as soon as the task waits for them. `image` is none."""

    def __init__(self, **given: Any) -> None:
        self.built = start([], **{"image": "none", **given})
        self.kernel = self.built.kernel
        self.entries = compiled_entries()
        self.handle = self.entries.handle(self.kernel)
        self.dead = False
        self.now = 0

    def call(self, name: str, *args: int) -> int:
        """Make a system call; its result, or -errno."""
        return self._run(ins.OP_SYSCALL, SYSCALL_NAMES.index(name), *args)

    def touch(self, address: int, write: bool = False) -> int:
        """Make an access; the signal that it raised, 0 if none."""
        self._run(ins.OP_TOUCH, address, int(write), 0)
        return int(self.kernel.task[1, t.T_SIG])

    def vmstat(self, name: str) -> int:
        """A counter of /proc/vmstat."""
        return int(self.kernel.vmstat[VMSTAT_NAMES.index(name)])

    def mm(self, column: int) -> int:
        """A column of the task's address space."""
        return int(self.kernel.mm[1, column])

    def faults(self) -> tuple[int, int]:
        """(ru_minflt, ru_majflt) so far."""
        return int(self.kernel.task[1, t.T_MIN_FLT]), int(self.kernel.task[1, t.T_MAJ_FLT])

    def vmas(self) -> list[list[int]]:
        """The columns of all VMAs, by address."""
        rows: list[list[int]] = self.kernel.vma[vma_list(self.kernel, 1)][:, : v.V_PREV].tolist()
        return rows

    def cached(self, file: str) -> list[int]:
        """The pages of a file that are in the page cache."""
        row = self.kernel.file[self.built.file_ids[file]]
        slots = self.kernel.pcache[row[f.FI_CACHE] : row[f.FI_CACHE] + row[f.FI_CAPACITY]]
        return [page for page, pfn in enumerate(slots.tolist()) if pfn > 0]

    def fd(self, file: str) -> int:
        """A descriptor of a file, open for reading and writing."""
        return self.built.file_ids[file] << 2 | 3

    def verify(self) -> None:
        """Check the machine's tables."""
        verify(self.kernel)

    def _run(self, op: int, *operands: int) -> int:
        assert not self.dead, "the task was killed"
        kernel = self.kernel
        code, task = kernel.code, kernel.task[1]
        code[_ROW : _ROW + 2] = 0
        code[_ROW, ins.CODE_OP] = op
        code[_ROW, ins.CODE_ARG : ins.CODE_ARG + len(operands)] = operands
        code[_ROW, ins.CODE_DEST] = _RESULT
        code[_ROW, ins.CODE_EXPECT] = ins.EXPECT_ANY
        code[_ROW + 1, ins.CODE_OP] = ins.OP_PHASE
        task[t.T_PC] = _ROW
        while True:
            done = self.entries.run_task(self.handle, 0, 1, self.now, self.now, L_RUNQ, self.now, _LONG)
            self.now, reason = int(done[0]), int(done[1])
            self.complete_reads()
            if reason == t.SLICE_PHASE:
                return int(kernel.reg[1, _RESULT])
            if reason == t.SLICE_EXIT:
                self.dead = True
                return 0

    def complete_reads(self) -> None:
        """Let all requests be done, without error."""
        kernel = self.kernel
        kernel.sc[SC_NR_NEW_BIOS] = 0
        for bio in (kernel.bio[:, f.B_STATE] != f.BIO_FREE).nonzero()[0].tolist():
            self.entries.complete_bio(self.handle, bio, 0)
