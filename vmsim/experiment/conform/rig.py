"""The machine that recordings are replayed on: one process, one tmpfs file, nothing else; used for one sequence after the other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from vmsim.arch.profile import geometry, get_profile
from vmsim.arch.rules import rules_of
from vmsim.errors import ImpossibleState, VmsimError
from vmsim.experiment.conform.recording import runs
from vmsim.mm.boot import add_zone, finish_boot
from vmsim.mm.task_mmu import VW_RESULT, VW_VALUES
from vmsim.struct import files as f
from vmsim.struct import kernel as kn
from vmsim.struct import tasks as t
from vmsim.struct import vmas as v
from vmsim.struct.kernel import Kernel, table_rows
from vmsim.struct.rules import R_NOHUGEPAGE_FLAG
from vmsim.struct.syscalls import SYS_CLOSE, SYS_MPROTECT
from vmsim.struct.vmstat import NR_FREE_PAGES
from vmsim.workload import replay as r
from vmsim.workload.replay import replay_step

PAGE_SIZE = 4096
FRAMES = 1 << 16
PARENT, CHILD = 1, 2
_KIB = 1024
_VM_MAY = v.VM_MAYREAD | v.VM_MAYWRITE | v.VM_MAYEXEC
_LIMITS = {"rlimit_memlock": t.RLIMIT_MEMLOCK, "rlimit_as": t.RLIMIT_AS, "rlimit_stack": t.RLIMIT_STACK, "rlimit_data": t.RLIMIT_DATA}
_STACK_GUARD_PAGES = 256
_MAX_OUTSIDE_PAGES = 1 << 16


def _limit(value: int) -> int:
    return t.RLIM_INFINITY if value == -1 else value


@lru_cache(64)
def _cached_runs(text: str) -> list[tuple[int, int]]:
    """First page and length of each run of cached pages. Raises ValueError."""
    return [(run.start(), run.end() - run.start()) for run in re.finditer("c+", runs(text, r.FILE_PAGES))]


class Rig:
    """A booted machine; `begin` sets it up as a recording's header says, `step` carries out one step."""

    def __init__(
        self,
        switched: Mapping[str, bool] | None = None,
        version: str | None = None,
        frames: int = FRAMES,
        tasks: int = 2,
        file_pages: int = r.FILE_PAGES,
    ) -> None:
        self.version = version
        self._release = ""
        self.kernel = kernel = Kernel(table_rows(frames, 1, tasks, file_pages, 1, 1, 1))
        self.switched = dict(switched or {})
        self.k = kernel.k
        kernel.geo[:] = geometry(get_profile("x86_64"), PAGE_SIZE, None)
        levels = int(kernel.geo[kn.G_LEVELS])
        bits = sum(int(b) for b in kernel.geo[kn.G_BITS : kn.G_BITS + levels])
        kernel.sc[kn.SC_INDEX_DEPTH] = -(-bits // v.INDEX_BITS)
        kernel.sc[kn.SC_NR_CPUS] = 1
        add_zone(self.k, 1, frames, frames - 1)
        kernel.sc[kn.SC_NR_FRAMES] = frames
        finish_boot(self.k)
        self._free = int(kernel.vmstat[NR_FREE_PAGES])
        self._pcache = int(kernel.sc[kn.SC_PCACHE_NEXT])
        self._alive: list[int] = []
        self.shown: memoryview[int] = kernel.shown.data  # reading numbers this way gives Python's own ints

    def do(self, tid: int, step: int, a0: int = 0, a1: int = 0, a2: int = 0, a3: int = 0, a4: int = 0, a5: int = 0) -> int:
        """Carry out a step, which leaves what it says in `shown`: where that ends."""
        end = int(replay_step(self.k, tid, step, a0, a1, a2, a3, a4, a5))
        if end < 0:
            raise ImpossibleState(f"step {step} of a replayed recording would sleep")
        return end

    def step(self, tid: int, step: int, a0: int = 0, a1: int = 0, a2: int = 0, a3: int = 0, a4: int = 0, a5: int = 0) -> list[int]:
        """Carry out a step; what `k.shown` holds then, up to the end of the state."""
        return self.shown[: self.do(tid, step, a0, a1, a2, a3, a4, a5)].tolist()

    def call(self, tid: int, step: int, a0: int = 0, a1: int = 0, a2: int = 0, a3: int = 0, a4: int = 0) -> int:
        """Carry out a step of the set-up; its result. Raises ImpossibleState if it fails."""
        replay_step(self.k, tid, step, a0, a1, a2, a3, a4, 0)
        result = self.shown[VW_RESULT]
        if result < 0:
            raise ImpossibleState(f"setting up a recording: step {step} gave {result}")
        return result

    def values(self, count: int) -> list[int]:
        """The first numbers that the last step listed."""
        return self.shown[VW_VALUES : VW_VALUES + count].tolist()

    def begin(self, header: Mapping[str, Any]) -> list[int]:
        """Set the machine up as a header says; the state then. Raises VmsimError, KeyError, TypeError or ValueError for a wrong one."""
        self.end()
        kernel = self.kernel
        window = header["page_size"], int(header["arena"], 16), header["arena_pages"]
        if window != (PAGE_SIZE, r.WINDOW_START * PAGE_SIZE, r.WINDOW_PAGES):
            raise VmsimError("only recordings of 512 pages of 4096 bytes at 0x200000000000 can be replayed")
        self._follow(self.version or str(header["kernel"]))
        self._settings(header)
        flags = v.VM_NOHUGEPAGE if header["thp_disabled"] and kernel.rule[R_NOHUGEPAGE_FLAG] else 0
        size = int(kernel.geo[kn.G_TASK_PAGES])
        self._create_file(header["file"])
        self._alive = [PARENT]
        self.call(PARENT, r.STEP_BEGIN, size, size - (1 << 15), flags)
        self._limits(header)
        for vma in header["outside"]:
            self._map_outside(vma)
        return self.step(PARENT, SYS_MPROTECT)

    def _follow(self, release: str) -> None:
        """Take on the rules of a kernel, unless they are in force."""
        if release != self._release:
            rules = rules_of(release, self.switched)
            self.kernel.rule[: len(rules)] = rules
            self._release = release

    def _settings(self, header: Mapping[str, Any]) -> None:
        sysctl = self.kernel.sysctl
        around = header["fault_around_bytes"]
        measured = header["fault_around_measured"]["pages"] if around < 0 else around // PAGE_SIZE
        sysctl[kn.SYS_FAULT_AROUND_PAGES] = max(1, int(measured))
        sysctl[kn.SYS_MAX_MAP_COUNT] = int(header["max_map_count"])
        sysctl[kn.SYS_OVERCOMMIT_MEMORY], sysctl[kn.SYS_OVERCOMMIT_RATIO] = (int(number) for number in header["overcommit"])
        sysctl[kn.SYS_MMAP_MIN_ADDR] = 65536
        sysctl[kn.SYS_STACK_GUARD_PAGES] = _STACK_GUARD_PAGES
        self.kernel.sc[kn.SC_TOTALRAM] = int(header["mem_total_kb"]) * _KIB // PAGE_SIZE
        self.kernel.sc[kn.SC_COMMITTED] = 0

    def _create_file(self, spec: Mapping[str, Any]) -> None:
        kernel = self.kernel
        kernel.sc[kn.SC_PCACHE_NEXT] = f.next_slots(self._pcache, r.FILE_PAGES)
        kernel.sc[kn.SC_FILE_NEXT] = r.FILE
        size = int(spec["size"])
        if not 0 <= size <= r.FILE_PAGES * PAGE_SIZE:
            raise ValueError(f"a file of {size} bytes")
        row = kernel.file[r.FILE]
        row[f.FI_SIZE] = size
        row[f.FI_CACHE] = self._pcache
        row[f.FI_CAPACITY] = r.FILE_PAGES
        row[f.FI_KIND] = f.FILE_TMPFS
        row[f.FI_REFS] = 2
        row[f.FI_DEVICE] = row[f.FI_PREV_POS] = -1
        row[f.FI_FAULT_AROUND] = 1
        for first, count in _cached_runs(spec["cached"]):
            self.call(PARENT, r.STEP_CACHE, first, count)

    def _limits(self, header: Mapping[str, Any]) -> None:
        row = self.kernel.rlim[PARENT]
        row[:] = t.RLIM_INFINITY
        for name, resource in _LIMITS.items():
            soft, hard = header[name]
            row[2 * resource], row[2 * resource + 1] = _limit(int(soft)), _limit(int(hard))
        caps = t.CAP_SYS_ADMIN | t.CAP_SYS_NICE | t.CAP_SYS_RAWIO
        if header["cap_ipc_lock"]:
            caps |= t.CAP_IPC_LOCK | t.CAP_SYS_RESOURCE
        self.kernel.task[PARENT, t.T_CAPS] = caps

    def _map_outside(self, vma: list[Any]) -> None:
        """One of the VMAs that the process has besides the window: its stub and data pages, and on old kernels a stack."""
        start, pages, perms, _, _, rss, _, _, text = vma
        start = int(start, 16) // PAGE_SIZE
        if not 0 <= int(pages) <= _MAX_OUTSIDE_PAGES or not 0 < start < r.WINDOW_START * 1024:
            raise ValueError(f"a VMA outside the window of {pages} pages")
        flags = _VM_MAY | v.VM_READ | v.VM_WRITE
        if "gd" in text.split():
            flags |= v.VM_GROWSDOWN
            if pages == 0:  # its only page is the guard page, which isn't shown
                start, pages = start - 1, 1
        if perms[3] == "s":
            flags |= v.VM_SHARED | v.VM_MAYSHARE
        self.call(PARENT, r.STEP_MAP, start, pages, flags, 0, start if perms[3] == "p" else 0)
        if rss:
            self.call(PARENT, r.STEP_TOUCH, start, int(rss), 1, 1, 0)
        wanted = sum(bit for char, bit in (("r", 1), ("w", 2), ("x", 4)) if char in perms)
        if wanted != v.VM_READ | v.VM_WRITE:
            self.call(PARENT, SYS_MPROTECT, start * PAGE_SIZE, pages * PAGE_SIZE, wanted)

    def fork(self) -> None:
        """The process forks; faults of the call and state of the child are shown."""
        self.do(PARENT, r.STEP_FORK, CHILD)
        if self.shown[VW_RESULT] == CHILD:
            self._alive.append(CHILD)

    def child_exit(self) -> None:
        """The child exits; the state of its parent is shown."""
        self._alive.remove(CHILD)
        self.do(CHILD, r.STEP_EXIT, PARENT)

    def end(self) -> None:
        """The processes exit and the file goes. Raises ImpossibleState unless all memory is free again."""
        if not self._alive:
            return
        for file in range(r.FILE + 1, int(self.kernel.sc[kn.SC_FILE_NEXT]) + 1):
            if self.kernel.file[file, f.FI_REFS] > 0:
                replay_step(self.k, self._alive[0], SYS_CLOSE, file << 2 | f.FMODE_READ, 0, 0, 0, 0, 0)
        while self._alive:
            replay_step(self.k, self._alive.pop(), r.STEP_EXIT, PARENT, 0, 0, 0, 0, 0)
        replay_step(self.k, PARENT, r.STEP_DROP_FILE, 0, 0, 0, 0, 0, 0)
        free = int(self.kernel.vmstat[NR_FREE_PAGES])
        if free != self._free:
            raise ImpossibleState(f"{self._free - free} pages are lost after a replayed sequence")


def as_signed(value: int) -> int:
    """A 64-bit number of a recording as compiled code takes it. Raises ValueError beyond 64 bits."""
    if not -(1 << 63) <= value < 1 << 64:
        raise ValueError(f"{value} has more than 64 bits")
    return value - (1 << 64) if value >= 1 << 63 else value
