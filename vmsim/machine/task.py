"""A task as the scheduler sees it; its registers, memory and program are the kernel's row of `task`."""

from __future__ import annotations

from typing import Final

from vmsim.errors import VmsimError
from vmsim.struct.ledger import L_RUNQ

NICE_0_WEIGHT: Final = 1024
# Weight of nice -20 to 19: each step is a factor of about 1.25 (kernel/sched/sched.h of v4.4: prio_to_weight).
WEIGHTS: Final = (
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916,
    9548, 7620, 6100, 4904, 3906, 3121, 2501, 1991, 1586, 1277,
    1024, 820, 655, 526, 423, 335, 272, 215, 172, 137,
    110, 87, 70, 56, 45, 36, 29, 23, 18, 15,
)  # fmt: skip

NEW: Final = 0  # not started
QUEUED: Final = 1  # runnable, waits for a CPU
RUNNING: Final = 2
BLOCKED: Final = 3
DEAD: Final = 4


class Task:
    """One task: its identity, its place in the schedule, and up to when its time is accounted for.

    `tid` is its row; it becomes runnable at `start_ns`. A machine runs until all tasks are dead that are not a
    `daemon`. Raises VmsimError for a nice value outside -20..19.
    """

    __slots__ = (
        "tid", "name", "start_ns", "nice", "daemon", "weight", "state", "since_ns", "ready_ns", "column", "slept_ns",
        "wait_seq", "vruntime", "picked_ns", "cpu", "end_ns",
    )  # fmt: skip

    def __init__(self, tid: int, name: str, start_ns: int = 0, nice: int = 0, daemon: bool = False) -> None:
        if not -20 <= nice <= 19:
            raise VmsimError(f"task {name!r}: nice is from -20 to 19, got {nice}")
        self.tid = tid
        self.name = name
        self.start_ns = start_ns
        self.nice = nice
        self.daemon = daemon
        self.weight = WEIGHTS[nice + 20]
        self.state = NEW
        self.since_ns = start_ns  # the ledger of the task is complete up to here
        self.ready_ns = start_ns  # from then on it could run, but waited for a CPU
        self.column = L_RUNQ  # of the ledger, that the time from `since_ns` to `ready_ns` goes to
        self.slept_ns = 0  # when the present wait began
        self.wait_seq = 0  # counts waits, so that a timer of an earlier one is known
        self.vruntime = 0
        self.picked_ns = 0  # when it got the CPU
        self.cpu = 0  # that it ran on last
        self.end_ns = -1

    def __repr__(self) -> str:
        return f"{self.name}/{self.tid}"
