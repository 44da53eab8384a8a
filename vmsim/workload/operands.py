"""The arguments of the calls on a process's limits, settings and descriptors, as the kernel takes them."""

from __future__ import annotations

from vmsim.mm.rlimit import HARD_STAYS
from vmsim.spec.expr import Expr
from vmsim.spec.process_calls import (
    PRCTL_OPTIONS,
    RUSAGE_FIELDS,
    RUSAGE_WHO,
    CloseStep,
    GetrlimitStep,
    GetrusageStep,
    MemfdCreateStep,
    PrctlStep,
    PrlimitStep,
)
from vmsim.spec.rlimits import RESOURCES
from vmsim.spec.syscalls import SetrlimitStep, Syscall

Operands = tuple[Expr | int, ...]


def process_operands(step: Syscall) -> Operands:
    """The arguments of a call, in the order of the kernel's signature; none of one that has none."""
    match step:
        case SetrlimitStep() | PrlimitStep():
            hard = HARD_STAYS if step.hard is None else step.hard
            limit: Operands = (RESOURCES[step.resource].number, step.soft, hard)
            return (step.pid, *limit) if isinstance(step, PrlimitStep) else limit
        case GetrlimitStep():
            return RESOURCES[step.resource].number, int(step.limit == "hard")
        case GetrusageStep():
            return RUSAGE_WHO[step.who], RUSAGE_FIELDS.index(step.field)
        case PrctlStep():
            return PRCTL_OPTIONS[step.option], step.value, 0, 0, 0
        case MemfdCreateStep():
            return (step.flags,)
        case CloseStep():
            return (step.fd,)
    return ()
