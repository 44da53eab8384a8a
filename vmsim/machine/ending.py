"""How a run ended, and the report of one in which nothing could ever happen again: who waits for what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from vmsim.machine.block import BlockDevice
from vmsim.machine.livelock import in_vain
from vmsim.machine.tables import KernelTables
from vmsim.machine.task import BLOCKED, DEAD, Task
from vmsim.struct.errno import ERRNO_NAMES
from vmsim.struct.pages import P_FLAGS, P_INDEX, P_MAPPING, PG_LOCKED, PG_WRITEBACK
from vmsim.struct.tasks import (
    EXIT_SIGNAL,
    EXIT_SYSCALL,
    KILLED_BY_OOM,
    T_EXIT,
    T_KILLED,
    T_SIG,
    T_STOP_ERRNO,
    T_STOP_NR,
    T_WAIT,
    T_WAIT_ARG,
    WAIT_CHILD,
    WAIT_CONGESTION,
    WAIT_ISOLATED,
    WAIT_MEMORY,
    WAIT_PAGE,
    WAIT_POST,
    WAIT_TASK,
    WAIT_THROTTLE,
    WAIT_TURN,
    WAIT_WRITEBACK,
)
from vmsim.units import format_duration

FINISHED: Final = "finished"  # every task has ended
PANIC: Final = "panic"  # the OOM killer found nobody to kill
UNTIL: Final = "until"  # the time that was asked for has come
STUCK: Final = "stuck"  # all tasks wait for what can't happen
LIVELOCK: Final = "livelock"  # some reclaim memory for ever, in vain; the others wait
_WAITS_FOR: Final = {
    WAIT_MEMORY: "free memory", WAIT_THROTTLE: "writeback to catch up", WAIT_CONGESTION: "less writeback",
    WAIT_ISOLATED: "pages that others are reclaiming",
}  # fmt: skip


@dataclass(frozen=True)
class Ending:
    """Why (FINISHED, UNTIL, STUCK, LIVELOCK, PANIC) and when a run ended; if stuck, a line about each task, and device that matters."""

    reason: str
    now_ns: int
    waiting: tuple[str, ...] = ()

    @property
    def stuck(self) -> bool:
        """Whether the run ended because nothing could ever happen again."""
        return self.reason in (STUCK, LIVELOCK)

    def report(self) -> str:
        """The ending as text, one line if all went well."""
        when = format_duration(self.now_ns)
        if self.reason == PANIC:
            return f"kernel panic at {when}: out of memory and no killable processes"
        if not self.stuck:
            return f"{self.reason} at {when}"
        return "\n".join(
            (
                f"{self.reason} at {when} ({self.now_ns} ns): nothing can ever happen again",
                *(f"  {line}" for line in self.waiting),
            )
        )


def describe_waiting(
    kernel: KernelTables, tasks: Iterable[Task], devices: Sequence[BlockDevice], events: Sequence[str] = ()
) -> tuple[str, ...]:
    """One line for each task, what it waits for or how it ended, and for each device that holds requests."""
    lines = [f"task {task}: {_ended(kernel, task) if task.state == DEAD else _waits(kernel, task, events)}" for task in tasks]
    for device in devices:
        if device.stat.depth:
            queued = device.stat.depth - device.in_service
            lines.append(
                f"device {device.name}: {device.in_service} requests in service without an end, {queued} queued"
            )
    return tuple(lines)


def _waits(kernel: KernelTables, task: Task, events: Sequence[str]) -> str:
    row = kernel.task[task.tid]
    if task.state != BLOCKED:
        return "reclaims memory and gets nowhere" if in_vain(kernel, task) else "runs"
    kind, arg = int(row[T_WAIT]), int(row[T_WAIT_ARG])
    since = f"since {format_duration(task.slept_ns)}"
    if kind in (WAIT_PAGE, WAIT_WRITEBACK):
        frame = kernel.frame[arg]
        held, flag = ("locked", PG_LOCKED) if kind == WAIT_PAGE else ("under writeback", PG_WRITEBACK)
        state = held if frame[P_FLAGS] & flag else f"no longer {held}, but nobody woke the task"
        return f"waits for frame {arg} (mapping {frame[P_MAPPING]}, index {frame[P_INDEX]}; {state}) {since}"
    if kind == WAIT_TASK:
        return f"waits for the end of task {arg} {since}"
    if kind == WAIT_CHILD:
        return f"waits for the end of a child {since}"
    if kind == WAIT_TURN:
        return f"waits for task {arg} to carry out its part of a log {since}"
    if kind == WAIT_POST:
        event, count = arg >> 32, arg & 0xFFFFFFFF
        name = events[event] if event < len(events) else event
        return f"waits for event {name!r} ({count} posts wanted, {kernel.event[event]} there) {since}"
    return f"waits for {_WAITS_FOR.get(kind, 'a timer')} {since}"


def _ended(kernel: KernelTables, task: Task) -> str:
    row = kernel.task[task.tid]
    when = f"at {format_duration(task.end_ns)}"
    if row[T_EXIT] == EXIT_SYSCALL:
        errno = abs(int(row[T_STOP_ERRNO]))
        return f"was stopped {when} by {ERRNO_NAMES.get(errno, errno)} from system call {row[T_STOP_NR]}"
    if row[T_EXIT] == EXIT_SIGNAL and row[T_KILLED] == KILLED_BY_OOM:
        return f"was killed {when} by the OOM killer"
    if row[T_EXIT] == EXIT_SIGNAL:
        return f"was killed {when} by signal {row[T_SIG]}"
    return f"has ended {when}"
