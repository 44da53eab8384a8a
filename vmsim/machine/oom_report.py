"""The report of the OOM killer.   Follows mm/oom_kill.c of v4.4 (dump_header, dump_tasks, oom_kill_process; section C.10); of 6.x by rules.

The lines in which the kernel dumps the CPU's registers and stack are left out: there are none here.
Model: tasks with CAP_SYS_ADMIN are root's, others belong to user 1000; printing takes no time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vmsim.machine.procfs.process import Process
from vmsim.machine.show_mem import MemInfo
from vmsim.machine.task import Task
from vmsim.mm.oom_kill import page_tables_of
from vmsim.struct import kernel as kn
from vmsim.struct import reclaim as rc
from vmsim.struct import tasks as t
from vmsim.struct import vmas as v
from vmsim.struct.kernel import Kernel
from vmsim.struct.rules import R_OOM_REPORT_6_1, R_OOM_REPORT_6_18

_COMM = 15  # characters of a task's name that the kernel keeps
_USER = 1000
# What an allocation is for, by its flags: include/linux/gfp.h of v4.4, and of 6.1 with their names (trace/events/mmflags.h).
_GFP = {
    rc.FOR_ANON: "0x24280ca",  # GFP_HIGHUSER_MOVABLE | __GFP_ZERO
    rc.FOR_COPY: "0x24200ca",
    rc.FOR_READ: "0x24201ca",  # | __GFP_COLD
    rc.FOR_WRITE: "0x34200ca",  # | __GFP_WRITE
    rc.FOR_TABLE: "0x26084c0",  # GFP_KERNEL | __GFP_NOTRACK | __GFP_REPEAT | __GFP_ZERO
}
_GFP_6_1 = {
    rc.FOR_ANON: "0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO)",
    rc.FOR_COPY: "0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP)",
    rc.FOR_READ: "0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP)",
    rc.FOR_WRITE: "0x141cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_WRITE)",
    rc.FOR_TABLE: "0x400dc0(GFP_KERNEL_ACCOUNT|__GFP_ZERO)",
}


class OomReport:
    """The lines about the kill that has just happened, from the tables as they are; `zones` are the zones' names."""

    def __init__(self, kernel: Kernel, tasks: Mapping[int, Task], zones: Sequence[str]) -> None:
        self.kernel = kernel
        self.tasks = tasks
        self.zones = zones
        self.newer = bool(kernel.rule[R_OOM_REPORT_6_1])
        self.invoker = int(kernel.node[rc.N_OOM_INVOKER])
        self.victim = int(kernel.node[rc.N_OOM_VICTIM])
        self.chosen = int(kernel.node[rc.N_OOM_CHOSEN])
        self._shift = int(kernel.geo[kn.G_PAGE_SHIFT])

    def header(self) -> Iterator[str]:
        """Who asked for what, the state of memory, and the tasks that could have been chosen (dump_header)."""
        name = self._comm(self.invoker)
        gfp = (_GFP_6_1 if self.newer else _GFP)[int(self.kernel.node[rc.N_ALLOC_FOR])]
        adj = int(self.kernel.task[self.invoker, t.T_OOM_ADJ])
        yield f"{name} invoked oom-killer: gfp_mask={gfp}, order=0, oom_score_adj={adj}"
        if not self.newer:
            yield f"{name} cpuset=/ mems_allowed=0"
        yield from MemInfo(self.kernel, self.zones, self.tasks[self.invoker].cpu).lines()
        if self.kernel.sysctl[kn.SYS_OOM_DUMP_TASKS]:
            yield from self._dump_tasks()

    def panic(self) -> Iterator[str]:
        """The panic in place of a kill (out_of_memory, check_panic_on_oom)."""
        what = "Out of memory and no killable processes..."
        if self.kernel.node[rc.N_OOM_PANIC] == rc.PANIC_SET:
            scope = "compulsory" if self.kernel.sysctl[kn.SYS_PANIC_ON_OOM] == 2 else "system-wide"
            what = f"Out of memory: {scope} panic_on_oom is enabled"
        elif self.newer:
            what = "System is deadlocked on memory"
        yield f"Kernel panic - not syncing: {what}"

    def kill(self, reported: bool) -> Iterator[str]:
        """The lines about the victim; `reported`: after the header."""
        victim = self._comm(self.victim)
        message = "Out of memory"
        if self.kernel.sysctl[kn.SYS_OOM_KILL_ALLOCATING_TASK] and self.chosen == self.invoker:
            message += " (oom_kill_allocating_task)"
        sizes = self._killed_sizes()
        if self.newer:
            if reported:
                yield (
                    "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/,"
                    f"task={victim},pid={self.victim},uid={self._uid(self.victim)}"
                )
            tables = self._kb(self._page_tables(self.victim))
            adj = int(self.kernel.task[self.victim, t.T_OOM_ADJ])
            yield (
                f"{message}: Killed process {self.victim} ({victim}) {sizes}, "
                f"UID:{self._uid(self.victim)} pgtables:{tables}kB oom_score_adj:{adj}"
            )
            return
        total = int(self.kernel.sc[kn.SC_TOTALRAM] + self.kernel.node[rc.N_SWAP_TOTAL])
        score = int(self.kernel.node[rc.N_OOM_POINTS]) * 1000 // total
        yield f"{message}: Kill process {self.chosen} ({self._comm(self.chosen)}) score {score} or sacrifice child"
        yield f"Killed process {self.victim} ({victim}) {sizes}"

    def _comm(self, tid: int) -> str:
        return self.tasks[tid].name[:_COMM]

    def _kb(self, pages: int) -> int:
        return pages << self._shift >> 10

    def _uid(self, tid: int) -> int:
        return 0 if self.kernel.task[tid, t.T_CAPS] & t.CAP_SYS_ADMIN else _USER

    def _page_tables(self, tid: int) -> int:
        return int(page_tables_of(self.kernel.k, int(self.kernel.task[tid, t.T_MM])))

    def _killed_sizes(self) -> str:
        process = Process(self.kernel, self.victim, "", {})
        anon, file, shmem = process.rss()
        sizes = {"total-vm": int(process.mm[v.MM_TOTAL_VM]), "anon-rss": anon, "file-rss": file if self.newer else file + shmem}
        if self.newer:
            sizes["shmem-rss"] = shmem
        return ", ".join(f"{name}:{self._kb(pages)}kB" for name, pages in sizes.items())

    def _eligible(self) -> Iterator[int]:
        """The processes with memory, in the order of their ids, each by its first task; never a kernel thread."""
        seen = set()
        for tid in sorted(self.tasks):
            row = self.kernel.task[tid]
            alive = row[t.T_STATE] in (t.TASK_RUNNABLE, t.TASK_BLOCKED) and row[t.T_MM] != 0
            if alive and not self.tasks[tid].daemon and int(row[t.T_TGID]) not in seen:
                seen.add(int(row[t.T_TGID]))
                yield tid

    def _dump_tasks(self) -> Iterator[str]:
        kinds = bool(self.kernel.rule[R_OOM_REPORT_6_18])
        if self.newer:
            yield "Tasks state (memory values in pages):"
            rss = "     rss rss_anon rss_file rss_shmem" if kinds else "     rss"
            yield f"[  pid  ]   uid  tgid total_vm {rss} pgtables_bytes swapents oom_score_adj name"
        else:
            yield "[ pid ]   uid  tgid total_vm      rss nr_ptes nr_pmds swapents oom_score_adj name"
        for tid in self._eligible():
            yield self._task(tid, kinds)

    def _task(self, tid: int, kinds: bool) -> str:
        process = Process(self.kernel, tid, "", {})
        mm, (anon, file, shmem) = process.mm, process.rss()
        uid, tgid, adj = self._uid(tid), int(process.task[t.T_TGID]), int(process.task[t.T_OOM_ADJ])
        swapents = int(mm[v.MM_SWAPENTS])
        sizes = f"{int(mm[v.MM_TOTAL_VM]):8} {anon + file + shmem:8}"
        if not self.newer:
            tables = f"{int(mm[v.MM_NR_PTES]):7} {int(mm[v.MM_NR_PMDS]):7}"
            return f"[{tid:5}] {uid:5} {tgid:5} {sizes} {tables} {swapents:8}         {adj:5} {self._comm(tid)}"
        if kinds:
            sizes += f" {anon:8} {file:8} {shmem:9}"
        tables = f"{self._page_tables(tid) << self._shift:8}"
        return f"[{tid:7}] {uid:5} {tgid:5} {sizes} {tables} {swapents:8}         {adj:5} {self._comm(tid)}"
