"""The kernel's log: reports of the OOM killer, panics, and the lines of segmentation faults, as dmesg(1) shows them.

Follows kernel/printk/printk.c (print_time), mm/oom_kill.c and arch/x86/mm/fault.c (show_signal_msg) of v4.4; of 6.x by rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from vmsim.machine.oom_report import OomReport
from vmsim.machine.task import Task
from vmsim.struct import kernel as kn
from vmsim.struct import reclaim as rc
from vmsim.struct import tasks as t
from vmsim.struct.errno import SIGSEGV, X86_PF_INSTR
from vmsim.struct.kernel import Kernel
from vmsim.struct.rules import R_OOM_REPORT_6_1
from vmsim.units import NS_PER_S, NS_PER_US

# DEFAULT_RATELIMIT_INTERVAL and _BURST: so many whole reports in so much time.
_RATE_NS: Final = 5 * NS_PER_S
_RATE_BURST: Final = 10


class Dmesg:
    """The log of a machine, whose zones have the names `zones`; time 0 is the start of the run.

    `segfaults`: it has the lines of x86 about them (on other architectures they look otherwise, and are left out).
    """

    def __init__(self, kernel: Kernel, zones: Sequence[str], segfaults: bool) -> None:
        self.kernel = kernel
        self.zones = tuple(zones)
        self.lines: list[str] = []
        self._segfaults = segfaults
        self._rates: dict[str, tuple[int, int]] = {}  # of each kind of report: when its interval began, and how many were in it

    def text(self) -> str:
        """The whole log."""
        return "".join(line + "\n" for line in self.lines)

    def log(self, now_ns: int, lines: Iterable[str]) -> None:
        """Append lines with their time."""
        seconds, rest = divmod(now_ns, NS_PER_S)
        self.lines.extend(f"[{seconds:5}.{rest // NS_PER_US:06}] {line}" for line in lines)

    def out_of_memory(self, now_ns: int, tasks: Mapping[int, Task]) -> None:
        """The OOM killer has acted in the slice that ends now: its report, or the panic if there was nobody to kill."""
        report = OomReport(self.kernel, tasks, self.zones)
        panic = bool(self.kernel.node[rc.N_OOM_PANIC])
        whole = panic or self._within_rate("oom", now_ns)
        if whole:
            self.log(now_ns, report.header())
        self.log(now_ns, report.panic() if panic else report.kill(whole))

    def _within_rate(self, kind: str, now_ns: int) -> bool:
        """Whether one more report of a kind may be printed (lib/ratelimit.c)."""
        began_ns, reports = self._rates.get(kind, (0, 0))
        if now_ns > began_ns + _RATE_NS:
            began_ns, reports = now_ns, 0
        self._rates[kind] = began_ns, reports + 1
        return reports < _RATE_BURST

    def io_error(self, now_ns: int, device: tuple[int, str], write: int, page: int, swap: bool) -> None:
        """A transfer from `page` of a device (number and name) on has failed: blk_update_request, and end_swap_bio_*.

        Model: the line of 6.x ends before its flags, and devices have the numbers 8:0, 8:16 and so on, whatever their names are.
        """
        sector = page << int(self.kernel.geo[kn.G_PAGE_SHIFT]) - 9
        number, name = device
        line = f"I/O error, dev {name}, sector {sector}"
        later = self.kernel.rule[R_OOM_REPORT_6_1]
        if self._within_rate("io", now_ns):
            self.log(now_ns, [f"{line} op 0x{write:x}:({'WRITE' if write else 'READ'})" if later else f"blk_update_request: {line}"])
        if swap and (not later or self._within_rate(f"swap {write}", now_ns)):
            self.log(now_ns, [f"{'Write' if write else 'Read'}-error on swap-device (8:{16 * number}:{sector})"])

    def task_ended(self, task: Task) -> None:
        """A task has ended: a segmentation fault that it had no handler for is told (show_signal_msg).

        Model: instructions have no addresses; all are at the start of the program's code, and the stack pointer at its base.
        """
        row = self.kernel.task[task.tid]
        if not self._segfaults or row[t.T_EXIT] != t.EXIT_SIGNAL or row[t.T_SIG] != SIGSEGV:
            return
        shift, mask = int(self.kernel.geo[kn.G_PAGE_SHIFT]), (1 << 64) - 1
        head = self.kernel.image[0]
        ip = int(head[kn.IM_TEXT]) << shift
        sp = int(head[kn.IM_TASK_SIZE]) - 1 << shift
        error = int(row[t.T_SI_ERROR])
        address = ip if error & X86_PF_INSTR else int(row[t.T_SI_ADDR]) & mask
        line = f"{task.name[:15]}[{task.tid}]: segfault at {address:x} ip {ip:016x} sp {sp:016x} error {error:x}"
        if self.kernel.rule[R_OOM_REPORT_6_1]:
            line += f" likely on CPU {task.cpu} (core {task.cpu}, socket 0)"
        self.log(task.end_ns, [line])
