"""/proc/PID/maps, smaps, status, limits and pagemap as texts.   Follows fs/proc/task_mmu.c, array.c and base.c of v4.4; of 6.x by rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from vmsim.machine.procfs.names import area_name, mapped_file
from vmsim.machine.procfs.walk import pagemap_walk, smaps_walk
from vmsim.mm import task_mmu as s
from vmsim.mm.oom_kill import NEVER, badness_of
from vmsim.struct import files as f
from vmsim.struct import kernel as kn
from vmsim.struct import reclaim as rc
from vmsim.struct import tasks as t
from vmsim.struct import vmas as v
from vmsim.struct.kernel import Kernel
from vmsim.struct.pages import P_FLAGS, P_MAPCOUNT, PG_ANON, PG_TAIL, PTE_PRESENT, PTE_SHIFT, PTE_SWAP, PTE_ZERO
from vmsim.struct.rules import R_LOCKONFAULT_MNEMONIC, R_OOM_BADNESS_EXACT, R_PROC_HUGETLB_LINES, R_PROC_LINES_6_1, R_PROC_LINES_6_18

_NAME_COLUMN = 73  # show_vma_header_prefix pads to 25 + 6 * sizeof(void *) - 1
# VmFlags of smaps, by bit (show_smap_vma_flags); a bit without one shows as ??.
_MNEMONICS = {
    v.VM_READ: "rd", v.VM_WRITE: "wr", v.VM_EXEC: "ex", v.VM_SHARED: "sh", v.VM_MAYREAD: "mr", v.VM_MAYWRITE: "mw", v.VM_MAYEXEC: "me",
    v.VM_MAYSHARE: "ms", v.VM_GROWSDOWN: "gd", v.VM_PFNMAP: "pf", v.VM_LOCKED: "lo", v.VM_IO: "io", v.VM_SEQ_READ: "sr",
    v.VM_RAND_READ: "rr", v.VM_DONTCOPY: "dc", v.VM_DONTEXPAND: "de", v.VM_LOCKONFAULT: "lf", v.VM_ACCOUNT: "ac", v.VM_NORESERVE: "nr",
    v.VM_HUGETLB: "ht", v.VM_WIPEONFORK: "wf", v.VM_DONTDUMP: "dd", v.VM_SOFTDIRTY: "sd", v.VM_MIXEDMAP: "mm", v.VM_HUGEPAGE: "hg",
    v.VM_NOHUGEPAGE: "nh", v.VM_MERGEABLE: "mg",
}  # fmt: skip
_FLAG_BITS = (1 << 32) - 1
# fs/proc/base.c: lnames
_LIMITS = (
    ("Max cpu time", "seconds"), ("Max file size", "bytes"), ("Max data size", "bytes"), ("Max stack size", "bytes"),
    ("Max core file size", "bytes"), ("Max resident set", "bytes"), ("Max processes", "processes"), ("Max open files", "files"),
    ("Max locked memory", "bytes"), ("Max address space", "bytes"), ("Max file locks", "locks"), ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"), ("Max nice priority", ""), ("Max realtime priority", ""), ("Max realtime timeout", "us"),
)  # fmt: skip
_CHUNK = 4096  # pages of a pagemap read at a time

PM_PRESENT = 1 << 63  # Documentation/vm/pagemap.txt
PM_SWAP = 1 << 62
PM_FILE = 1 << 61
PM_EXCLUSIVE = 1 << 56


class Process:
    """The texts of one task of a machine, at the present simulated time; `paths` names files by id."""

    def __init__(self, kernel: Kernel, tid: int, name: str, paths: Mapping[int, str]) -> None:
        self.kernel = kernel
        self.tid = tid
        self.name = name
        self.paths = paths
        self.task = kernel.task[tid]
        self.number = int(self.task[t.T_MM])
        self.mm = kernel.mm[self.number]
        self.shift = int(kernel.geo[kn.G_PAGE_SHIFT])

    def _areas(self) -> Iterator[int]:
        area = int(self.mm[v.MM_FIRST]) if self.mm[v.MM_USERS] > 0 else 0
        while area:
            yield area
            area = int(self.kernel.vma[area, v.V_NEXT])

    def _kb(self, pages: int) -> int:
        return pages << self.shift >> 10

    def _walk(self, area: int) -> list[int]:
        smaps_walk(self.kernel.k, self.number, area)
        numbers: list[int] = self.kernel.shown[s.VW_VALUES : s.VW_VALUES + s.SM_NUMBERS].tolist()
        return numbers

    def _header(self, area: int, first: int) -> str:
        """The line of a mapping in maps (show_map_vma)."""
        row = self.kernel.vma[area]
        flags, file = int(row[v.V_FLAGS]), int(row[v.V_FILE])
        start, end = first << self.shift, int(row[v.V_END]) << self.shift
        perms = "".join(letter if flags & bit else "-" for letter, bit in (("r", v.VM_READ), ("w", v.VM_WRITE), ("x", v.VM_EXEC)))
        perms += "s" if flags & v.VM_MAYSHARE else "p"
        if file:
            device, inode, name = mapped_file(self.kernel.file[file], file, self.paths)
            offset = int(row[v.V_PGOFF]) << self.shift & (1 << 64) - 1
        else:
            device, inode, offset, name = "00:00", 0, 0, area_name(self.mm, start, end, flags)
        line = f"{start:08x}-{end:08x} {perms} {offset:08x} {device} {inode} "
        return line.ljust(_NAME_COLUMN) + name if name else line

    def maps(self) -> str:
        """/proc/PID/maps."""
        return "".join(f"{self._header(area, self._walk(area)[s.SM_START])}\n" for area in self._areas())

    def smaps(self) -> str:
        """/proc/PID/smaps."""
        return "".join(line + "\n" for area in self._areas() for line in self._smap(area))

    def _smap(self, area: int) -> Iterator[str]:
        counted = self._walk(area)
        row = self.kernel.vma[area]
        flags = int(row[v.V_FLAGS])
        yield self._header(area, counted[s.SM_START])
        for name, kb in self._sizes(counted, int(row[v.V_END]) - counted[s.SM_START], flags):
            yield f"{name + ':':<16}{kb:8} kB"
        if self.kernel.rule[R_PROC_LINES_6_18]:
            yield f"{'THPeligible:':<16}{0:8}"
        elif self.kernel.rule[R_PROC_LINES_6_1]:
            yield "THPeligible:    0"
        yield "VmFlags: " + "".join(f"{name} " for name in self._vm_flags(flags))

    def _sizes(self, n: list[int], pages: int, flags: int) -> Iterator[tuple[str, int]]:
        """The lines of a mapping in the order of the kernel's version, in kB."""
        rule, page = self.kernel.rule, self._kb(1)
        newer = bool(rule[R_PROC_LINES_6_1])
        share = n[s.SM_PSS] >> (10 + s.PSS_SHIFT)
        sizes = [("KernelPageSize", page), ("MMUPageSize", page)]
        yield "Size", self._kb(pages)
        yield from sizes if newer else ()
        yield "Rss", self._kb(n[s.SM_RSS])
        yield "Pss", share
        if newer:
            yield "Pss_Dirty", n[s.SM_PSS_DIRTY] >> (10 + s.PSS_SHIFT)
        yield "Shared_Clean", self._kb(n[s.SM_SHARED_CLEAN])
        yield "Shared_Dirty", self._kb(n[s.SM_SHARED_DIRTY])
        yield "Private_Clean", self._kb(n[s.SM_PRIVATE_CLEAN])
        yield "Private_Dirty", self._kb(n[s.SM_PRIVATE_DIRTY])
        yield "Referenced", self._kb(n[s.SM_REFERENCED])
        yield "Anonymous", self._kb(n[s.SM_ANONYMOUS])
        if rule[R_PROC_LINES_6_18]:
            yield "KSM", 0
        if newer:
            yield "LazyFree", self._kb(n[s.SM_LAZYFREE])
        yield "AnonHugePages", self._kb(n[s.SM_ANON_THP])
        if newer:
            yield from (("ShmemPmdMapped", 0), ("FilePmdMapped", 0))
        if rule[R_PROC_HUGETLB_LINES]:
            yield from (("Shared_Hugetlb", 0), ("Private_Hugetlb", 0))
        yield "Swap", self._kb(n[s.SM_SWAP])
        yield "SwapPss", self._kb(n[s.SM_SWAP])
        yield from () if newer else sizes
        yield "Locked", share if flags & v.VM_LOCKED else 0

    def _vm_flags(self, flags: int) -> Iterator[str]:
        for bit in range(32):
            if flags & _FLAG_BITS & 1 << bit:
                name = _MNEMONICS.get(1 << bit, "??")
                yield "??" if name == "lf" and not self.kernel.rule[R_LOCKONFAULT_MNEMONIC] else name

    def status(self) -> str:
        """/proc/PID/status: who the task is, its memory (task_mem), its context switches."""
        task = self.task
        state = {0: "S (sleeping)", t.TASK_RUNNABLE: "R (running)", t.TASK_BLOCKED: "S (sleeping)"}.get(int(task[t.T_STATE]), "Z (zombie)")
        lines = [f"Name:\t{self.name[:15]}", f"State:\t{state}", f"Tgid:\t{int(task[t.T_TGID])}", f"Pid:\t{self.tid}"]
        lines.append(f"PPid:\t{int(task[t.T_PARENT])}")
        if self.mm[v.MM_USERS] > 0:
            lines += [f"{name}:\t{self._kb(pages):8} kB" for name, pages in self._memory().items()]
            if self.kernel.rule[R_PROC_LINES_6_1]:
                lines += ["CoreDumping:\t0", f"THP_enabled:\t{int(not self.mm[v.MM_FLAGS] & v.MMF_DISABLE_THP)}"]
        lines.append(f"Threads:\t{max(1, int(self.mm[v.MM_USERS]))}")
        lines += [f"voluntary_ctxt_switches:\t{int(task[t.T_NVCSW])}", f"nonvoluntary_ctxt_switches:\t{int(task[t.T_NIVCSW])}"]
        return "\n".join(lines) + "\n"

    def _memory(self) -> dict[str, int]:
        """The Vm lines in pages. Model: VmExe is the first mapping of the image, page tables of 6.x count their upper levels too."""
        mm = {name: int(self.mm[getattr(v, f"MM_{name}")]) for name in (
            "TOTAL_VM", "LOCKED_VM", "HIWATER_VM", "HIWATER_RSS", "FILEPAGES", "ANONPAGES", "SHMEMPAGES", "SWAPENTS", "SHARED_VM",
            "STACK_VM", "EXEC_VM", "DATA_VM", "NR_PTES", "NR_PMDS", "TEXT",
        )}  # fmt: skip
        newer = bool(self.kernel.rule[R_PROC_LINES_6_1])
        anon, file, shmem = self.rss()
        rss = anon + file + shmem
        text = int(self.kernel.image[1, kn.IM_PAGES]) if mm["TEXT"] else 0
        lines = {
            "VmPeak": max(mm["HIWATER_VM"], mm["TOTAL_VM"]), "VmSize": mm["TOTAL_VM"], "VmLck": mm["LOCKED_VM"], "VmPin": 0,
            "VmHWM": max(mm["HIWATER_RSS"], rss), "VmRSS": rss,
        }  # fmt: skip
        if newer:
            lines |= {"RssAnon": anon, "RssFile": file, "RssShmem": shmem}
        lines["VmData"] = mm["DATA_VM"] if newer else mm["TOTAL_VM"] - mm["SHARED_VM"] - mm["STACK_VM"]
        lines |= {"VmStk": mm["STACK_VM"], "VmExe": text, "VmLib": max(0, mm["EXEC_VM"] - text)}
        lines["VmPTE"] = mm["NR_PTES"] + (mm["NR_PMDS"] + 1 if newer and mm["NR_PTES"] else 0)
        if not newer:
            lines["VmPMD"] = mm["NR_PMDS"]
        lines["VmSwap"] = mm["SWAPENTS"]
        if self.kernel.rule[R_PROC_HUGETLB_LINES]:
            lines["HugetlbPages"] = 0
        return lines

    def rss(self) -> tuple[int, int, int]:
        """Resident pages: anonymous, of files, of memory files."""
        anon, file, shmem = (int(self.mm[column]) for column in (v.MM_ANONPAGES, v.MM_FILEPAGES, v.MM_SHMEMPAGES))
        memory = self._memory_file_pages()
        return anon, file - memory, shmem + memory

    def oom_score(self) -> str:
        """/proc/PID/oom_score: the task's badness in thousandths of memory; since 5.9 on a scale from 0 to 2000 (proc_oom_score)."""
        points = int(badness_of(self.kernel.k, self.tid))
        if points == NEVER:
            return "0\n"
        total = int(self.kernel.sc[kn.SC_TOTALRAM] + self.kernel.node[rc.N_SWAP_TOTAL])
        score = abs(points) * 1000 // total * (1 if points > 0 else -1)
        return f"{(1000 + score) * 2 // 3 if self.kernel.rule[R_OOM_BADNESS_EXACT] else score}\n"

    def oom_score_adj(self) -> str:
        """/proc/PID/oom_score_adj."""
        return f"{int(self.task[t.T_OOM_ADJ])}\n"

    def _memory_file_pages(self) -> int:
        """Resident pages of memory files, which the kernel counts apart since 4.5; MM_FILEPAGES holds them here."""
        total = 0
        for area in self._areas():
            file = int(self.kernel.vma[area, v.V_FILE])
            if file and self.kernel.file[file, f.FI_KIND] != f.FILE_REGULAR:
                counted = self._walk(area)
                total += counted[s.SM_RSS] - counted[s.SM_ANONYMOUS]
        return total

    def limits(self) -> str:
        """/proc/PID/limits (proc_pid_limits)."""
        lines = [f"{'Limit':<25} {'Soft Limit':<20} {'Hard Limit':<20} {'Units':<10}"]
        row = self.kernel.rlim[int(self.task[t.T_TGID])]
        for i, (name, unit) in enumerate(_LIMITS):
            soft, hard = ("unlimited" if value == t.RLIM_INFINITY else str(value) for value in row[2 * i : 2 * i + 2].tolist())
            lines.append(f"{name:<25} {soft:<20} {hard:<20} " + (f"{unit:<10}" if unit else ""))
        return "\n".join(lines) + "\n"

    def pagemap_entries(self, start: int, count: int) -> list[int]:
        """The 64-bit entries of /proc/PID/pagemap for `count` pages from page `start` on."""
        entries: list[int] = []
        for first in range(start, start + count, _CHUNK):
            n = min(_CHUNK, start + count - first)
            pagemap_walk(self.kernel.k, self.number, first, n)
            entries += [self._pagemap_entry(e) for e in self.kernel.shown[s.VW_VALUES : s.VW_VALUES + n].tolist()]
        return entries

    def _pagemap_entry(self, entry: int) -> int:
        if entry & PTE_PRESENT:
            pfn = 0 if entry & PTE_ZERO else entry >> PTE_SHIFT
            shown = PM_PRESENT | pfn
            if pfn:
                flags, mapcount = self._page(pfn)
                shown |= 0 if flags & PG_ANON else PM_FILE
                shown |= PM_EXCLUSIVE if mapcount == 1 else 0
            return shown
        return PM_SWAP | entry >> PTE_SHIFT << 5 if entry & PTE_SWAP else 0

    def _page(self, pfn: int) -> tuple[int, int]:
        """The flags and map count of a frame's page, which for a part of a huge page are the whole's."""
        if self.kernel.frame[pfn, P_FLAGS] & PG_TAIL:
            pfn &= -(1 << int(self.kernel.sc[kn.SC_HUGE_BITS]))
        return int(self.kernel.frame[pfn, P_FLAGS]), int(self.kernel.frame[pfn, P_MAPCOUNT])

    def pagemap(self) -> str:
        """Page states of each mapping as runs: `.` nothing, Z the zero page, A anonymous, F of a file, S swapped.

        The kernel's file is binary (see `pagemap_entries`); this is what people make of it.
        """
        return "".join(f"{self._header(area, int(self.kernel.vma[area, v.V_START]))}\n{self._runs(area)}\n" for area in self._areas())

    def _runs(self, area: int) -> str:
        start, end = self.kernel.vma[area, [v.V_START, v.V_END]].tolist()
        runs = groupby(_state(entry) for entry in self.pagemap_entries(start, end - start))
        return " ".join(f"{sum(1 for _ in run)}{state}" for state, run in runs)


def _state(entry: int) -> str:
    if entry & PM_PRESENT:
        if entry == PM_PRESENT:
            return "Z"
        return "F" if entry & PM_FILE else "A"
    return "S" if entry & PM_SWAP else "."
