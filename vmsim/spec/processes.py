"""Steps with which tasks wait for each other: for the end of a child, and for events."""

from __future__ import annotations

from pydantic import Field

from vmsim.spec.expr import Expr, Num
from vmsim.spec.syscalls import StepParent, Syscall
from vmsim.spec.values import CountExpr, Name


class WaitStep(Syscall):
    """Waits for the end of children, threads too. `{wait: kid}` is short for `{wait: {pid: kid}}`."""

    step = "wait"
    shorthand = "pid"
    pid: CountExpr | None = Field(
        default=None, description="the child's number, or -1 for any one child; default: all children"
    )

    @property
    def which(self) -> Expr:
        """The operand of the instruction: 0 stands for all."""
        return Num(0) if self.pid is None else self.pid


class _EventStep(StepParent):
    shorthand = "event"
    event: Name = Field(description="name of the event, known to all tasks")
    count: CountExpr = Field(default=Num(1), description="how many posts")


class PostStep(_EventStep):
    """Posts an event, as a byte written to a pipe or sem_post(3). `{post: go}` is short for `{post: {event: go}}`."""

    step = "post"


class WaitForStep(_EventStep):
    """Waits until an event was posted, and takes the post away, as a byte read from a pipe or sem_wait(3)."""

    step = "wait_for"


PROCESS_STEPS = (WaitStep, PostStep, WaitForStep)
