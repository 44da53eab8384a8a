"""System calls as steps of a program, continued: memory files, limits and settings, the process itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from vmsim.spec.expr import Num
from vmsim.spec.flags import FALLOC, MFD, SWAP_FLAG
from vmsim.spec.rlimits import RESOURCES
from vmsim.spec.syscalls import SYSCALL_STEPS, FileCall, LimitExpr, Syscall
from vmsim.spec.values import AnyExpr, ByteExpr, Choice, CountExpr, FlagSet, Name, Register, number_of

RUSAGE_FIELDS = ("ru_minflt", "ru_majflt", "ru_nvcsw", "ru_nivcsw", "ru_maxrss", "ru_utime", "ru_stime")
RUSAGE_WHO = {"RUSAGE_SELF": 0, "RUSAGE_CHILDREN": -1, "RUSAGE_THREAD": 1}
PRCTL_OPTIONS = {"PR_SET_THP_DISABLE": 41, "PR_GET_THP_DISABLE": 42}

ResourceName = Annotated[str, Choice("resource", tuple(RESOURCES))]


class FtruncateStep(FileCall):
    """ftruncate(2): a new size. Pages behind it go, from private mappings too; accesses there are SIGBUS."""

    step = "ftruncate"
    length: ByteExpr = Field(description="new size in bytes")


class FallocateStep(FileCall):
    """fallocate(2): pages for a range of a file, or with FALLOC_FL_PUNCH_HOLE|FALLOC_FL_KEEP_SIZE none."""

    step = "fallocate"
    mode: Annotated[int, FlagSet(FALLOC)] = Field(default=0, description="FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE")
    offset: ByteExpr = Field(default=Num(0), description="start of the range")
    length: ByteExpr = Field(description="length in bytes")


class MemfdCreateStep(Syscall):
    """memfd_create(2): `as` gets the descriptor of a new, empty memory file, for the `fd` of other steps."""

    step = "memfd_create"
    flags: Annotated[int, FlagSet(MFD)] = Field(default=0, description="MFD_CLOEXEC, MFD_ALLOW_SEALING: without effect here")


class CloseStep(Syscall):
    """close(2) of a descriptor that memfd_create gave."""

    step = "close"
    fd: AnyExpr = Field(description="the descriptor")


class PrlimitStep(Syscall):
    """prlimit(2) with a new limit."""

    step = "prlimit"
    pid: CountExpr = Field(default=Num(0), description="tid of a task of the run; 0: the task itself")
    resource: ResourceName = Field(description="RLIMIT_ name")
    soft: LimitExpr = Field(description="new soft limit, in the resource's unit, or unlimited")
    hard: LimitExpr | None = Field(default=None, description="new hard limit; default: it stays")


class GetrlimitStep(Syscall):
    """getrlimit(2): `as` gets the limit."""

    step = "getrlimit"
    resource: ResourceName = Field(description="RLIMIT_ name")
    limit: Annotated[str, Choice("limit", ("soft", "hard"))] = Field(default="soft", description="soft or hard")
    as_: Register = Field(alias="as", description="register that gets the limit")


class GetrusageStep(Syscall):
    """getrusage(2): `as` gets one of the numbers (ru_maxrss in KiB, times in microseconds)."""

    step = "getrusage"
    field: Annotated[str, Choice("field", RUSAGE_FIELDS)] = Field(description="name of the number")
    who: Annotated[str, Choice("who", tuple(RUSAGE_WHO))] = Field(default="RUSAGE_SELF", description="whose numbers")
    as_: Register = Field(alias="as", description="register that gets the number")


class PrctlStep(Syscall):
    """prctl(2), for transparent huge pages of the process."""

    step = "prctl"
    option: Annotated[str, Choice("option", tuple(PRCTL_OPTIONS))] = Field(description="PR_SET_THP_DISABLE or PR_GET_THP_DISABLE")
    value: AnyExpr = Field(default=Num(0), description="1 disables, 0 enables")


class ExecStep(Syscall):
    """execve(2): a new address space with the image of a program; locks and handlers are gone, registers and the steps go on."""

    step = "exec"


class SwapCall(Syscall):
    """What swapon and swapoff have."""

    shorthand = "area"

    area: Name = Field(description="name of a swap area of the machine")


class SwaponStep(SwapCall):
    """swapon(2), with CAP_SYS_ADMIN."""

    step = "swapon"
    priority: Annotated[int, number_of(0, 32767)] | None = Field(
        default=None, description="areas of the highest priority are used first; default: below all that were given none before"
    )
    flags: Annotated[int, FlagSet(SWAP_FLAG)] = Field(default=0, description="SWAP_FLAG_DISCARD and others: without effect here")


class SwapoffStep(SwapCall):
    """swapoff(2), with CAP_SYS_ADMIN: every page of the area is brought back."""

    step = "swapoff"


PROCESS_STEPS: tuple[type[Syscall], ...] = (
    FtruncateStep, FallocateStep, MemfdCreateStep, CloseStep, PrlimitStep, GetrlimitStep, GetrusageStep, PrctlStep,
    ExecStep, SwaponStep, SwapoffStep,
)  # fmt: skip
CALL_STEPS: tuple[type[Syscall], ...] = (*SYSCALL_STEPS, *PROCESS_STEPS)
SYSCALL_NAMES = tuple(step.step for step in CALL_STEPS)
