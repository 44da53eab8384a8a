"""The golden vectors of the behaviour notes (section L) that concern locking, splitting and faults, on the machine of the recordings."""

from __future__ import annotations

import pytest

from vmsim.experiment.conform.rig import PAGE_SIZE, PARENT, Rig
from vmsim.mm.task_mmu import VW_LCK, VW_MINFLT, VW_NVMAS, VW_RESULT, VW_STATE
from vmsim.struct import syscalls as s
from vmsim.struct.pages import P_FLAGS, PG_ACTIVE, PG_ANON, PG_UNEVICTABLE
from vmsim.struct.vmas import VM_LOCKED, VM_LOCKONFAULT
from vmsim.struct.vmstat import NR_MLOCK
from vmsim.workload.replay import STEP_TOUCH, WINDOW_START

BASE = WINDOW_START * PAGE_SIZE
RW, PRIVATE_ANON_FIXED = 3, 0x32
ENOMEM, EAGAIN = 12, 11
HEADER = {
    "page_size": PAGE_SIZE, "arena": hex(BASE), "arena_pages": 512, "kernel": "4.4.1", "thp_disabled": False, "fault_around_bytes": 65536,
    "max_map_count": 65530, "overcommit": [0, 50], "mem_total_kb": 509532, "cap_ipc_lock": False, "outside": [],
    "file": {"size": 0, "cached": "64."}, "rlimit_memlock": [65536, 65536], "rlimit_as": [-1, -1], "rlimit_stack": [8 << 20, -1],
    "rlimit_data": [-1, -1],
}  # fmt: skip


class Program:
    """A process with a 64 KiB limit on locked memory, in the window of the recordings; pages are counted from its start."""

    def __init__(self, **header: object) -> None:
        self.rig = Rig()
        self.view = self.rig.begin({**HEADER, **header})

    def call(self, number: int, *arguments: int) -> int:
        self.view = self.rig.step(PARENT, number, *arguments)
        return self.view[VW_RESULT]

    def map(self, pages: int, at: int = 0, prot: int = RW, flags: int = PRIVATE_ANON_FIXED) -> int:
        return self.call(s.SYS_MMAP, BASE + at * PAGE_SIZE, pages * PAGE_SIZE, prot, flags, -1, 0)

    def over(self, number: int, first: int, pages: int, *more: int) -> int:
        return self.call(number, BASE + first * PAGE_SIZE, pages * PAGE_SIZE, *more)

    def touch(self, page: int, write: int) -> int:
        return self.call(STEP_TOUCH, WINDOW_START + page, 1, 1, write, 0)

    @property
    def vmas(self) -> list[list[int]]:
        """Start, pages, flags, file, serial, offset, Rss, Anonymous, Pss of each VMA."""
        return [self.view[at : at + 9] for at in range(VW_STATE, VW_STATE + 9 * self.view[VW_NVMAS], 9)]

    @property
    def nr_mlock(self) -> int:
        return int(self.rig.kernel.vmstat[NR_MLOCK])

    def frames_with(self, flag: int) -> int:
        flags = self.rig.kernel.frame[:4096, P_FLAGS]
        return int(((flags & flag != 0) & (flags & PG_ANON != 0)).sum())


def test_mlock2_without_flags_and_munlock() -> None:
    """L.1: both pages present and unevictable, `lo` on the VMA, NR_MLOCK +2; munlock undoes all but the presence."""
    program = Program()
    program.map(2)
    assert program.over(s.SYS_MLOCK2, 0, 2, 0) == 0
    ((*_, flags, _, _, _, rss, _, _),) = program.vmas
    assert (rss, flags & VM_LOCKED != 0, program.nr_mlock, program.frames_with(PG_UNEVICTABLE)) == (2, True, 2, 2)
    assert program.over(s.SYS_MUNLOCK, 0, 2) == 0
    ((*_, flags, _, _, _, rss, _, _),) = program.vmas
    assert (rss, flags & VM_LOCKED, program.nr_mlock, program.frames_with(PG_UNEVICTABLE)) == (2, 0, 0, 0)


def test_onfault_of_untouched_pages() -> None:
    """L.2: nothing is present; the page that is written then is present and unevictable, the other not."""
    program = Program()
    program.map(2)
    program.over(s.SYS_MLOCK2, 0, 2, 1)
    assert program.vmas[0][6] == 0
    program.touch(0, write=1)
    assert (program.vmas[0][6], program.frames_with(PG_UNEVICTABLE)) == (1, 1)


def test_onfault_after_a_touch() -> None:
    """L.3: the present page becomes unevictable at the call, the absent one stays absent."""
    program = Program()
    program.map(2)
    program.touch(0, write=1)
    program.over(s.SYS_MLOCK2, 0, 2, 1)
    assert (program.vmas[0][6], program.frames_with(PG_UNEVICTABLE)) == (1, 1)


@pytest.mark.parametrize(("flags", "onfault", "rss"), [(2, False, 3), (2 | 4, True, 0)])
def test_mlockall_and_a_new_mapping(flags: int, onfault: bool, rss: int) -> None:
    """L.4: MCL_FUTURE populates what is mapped later, with MCL_ONFAULT it only marks it; munlockall forgets."""
    program = Program()
    assert program.call(s.SYS_MLOCKALL, flags) == 0
    program.map(3)
    assert (program.vmas[0][2] & VM_LOCKONFAULT != 0, program.vmas[0][6], program.view[VW_LCK]) == (onfault, rss, 3)
    program.call(s.SYS_MUNLOCKALL)
    program.map(2, at=8)
    assert program.vmas[1][2] & VM_LOCKED == 0


def test_three_pages_split_and_merge() -> None:
    """L.5: unlocking the middle one of three gives three VMAs, unlocking all of them one."""
    program = Program()
    program.map(3)
    counts = []
    for call, first, pages, more in ((s.SYS_MLOCK2, 0, 3, (1,)), (s.SYS_MUNLOCK, 1, 1, ()), (s.SYS_MUNLOCK, 0, 3, ())):
        assert program.over(call, first, pages, *more) == 0
        counts.append(len(program.vmas))
    assert counts == [1, 3, 1]


@pytest.mark.parametrize("prot", [0, 1, 3])
def test_future_lock_limits_mmap(prot: int) -> None:
    """L.6: after mlockall(FUTURE|ONFAULT) a mapping of twice the limit fails with EAGAIN, whatever its protection."""
    program = Program()
    assert program.call(s.SYS_MLOCKALL, 2 | 4) == 0
    assert program.map(32, prot=prot) == -EAGAIN
    assert program.map(16, prot=prot) == BASE


def test_the_same_pages_count_again() -> None:
    """L.7 and L.8: 16 of 16 pages, the same again is refused; 8 pages on fault, then in full, count twice."""
    program = Program()
    program.map(16)
    assert program.over(s.SYS_MLOCK, 0, 16) == 0
    assert program.over(s.SYS_MLOCK, 0, 16) == -ENOMEM
    program.over(s.SYS_MUNLOCK, 0, 16)
    assert program.view[VW_LCK] == 0
    assert program.over(s.SYS_MLOCK2, 0, 8, 1) == 0
    assert program.over(s.SYS_MLOCK, 0, 8) == 0
    assert program.view[VW_LCK] == 16


def test_read_fault_then_write_fault() -> None:
    """L.9: the zero page, without Rss; then a page of its own on the active list; one minor fault each."""
    program = Program()
    program.map(1)
    program.touch(0, write=0)
    assert (program.view[VW_MINFLT], program.vmas[0][6]) == (1, 0)
    program.touch(0, write=1)
    assert (program.view[VW_MINFLT], program.vmas[0][6], program.frames_with(PG_ACTIVE)) == (1, 1, 1)


def test_mremap_of_nothing() -> None:
    """K.6: equal lengths succeed on an unmapped address in 4.4; from 6.1 on that is EFAULT."""
    assert Program().over(s.SYS_MREMAP, 5, 1, PAGE_SIZE, 0, 0) == BASE + 5 * PAGE_SIZE
    assert Program(kernel="6.18.44").over(s.SYS_MREMAP, 5, 1, PAGE_SIZE, 0, 0) == -14


def test_data_limit_holds_for_private_writable_mappings_since_4_6() -> None:
    """A.6: RLIMIT_DATA limits only brk in 4.4, later all private writable memory, also what mprotect makes so."""
    limit = {"rlimit_data": [4 * PAGE_SIZE, 4 * PAGE_SIZE]}
    assert Program(**limit).map(5) == BASE
    later = Program(kernel="6.1.177", **limit)
    assert later.map(5) == -ENOMEM
    assert later.map(5, prot=1) == BASE
    assert later.over(s.SYS_MPROTECT, 0, 5, RW) == -ENOMEM
    assert later.over(s.SYS_MPROTECT, 0, 4, RW) == 0
    assert later.map(1, at=16) == -ENOMEM
