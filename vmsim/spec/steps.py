"""The steps of a program beside system calls: memory accesses, time, control, phases. `Step` is any step at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    ValidationInfo,
    WrapSerializer,
    field_validator,
)

from vmsim.spec.expr import Num
from vmsim.spec.patterns import PatternSpec
from vmsim.spec.process_calls import (
    CALL_STEPS,
    CloseStep,
    ExecStep,
    FallocateStep,
    FtruncateStep,
    GetrlimitStep,
    GetrusageStep,
    MemfdCreateStep,
    PrctlStep,
    PrlimitStep,
    SwapoffStep,
    SwaponStep,
)
from vmsim.spec.processes import PROCESS_STEPS, PostStep, WaitForStep, WaitStep
from vmsim.spec.show import ShowStep
from vmsim.spec.syscalls import (
    BrkStep,
    FadviseStep,
    FdatasyncStep,
    FsyncStep,
    LseekStep,
    MadviseStep,
    MincoreStep,
    Mlock2Step,
    MlockallStep,
    MlockStep,
    MmapStep,
    MprotectStep,
    MremapStep,
    MsyncStep,
    MunlockallStep,
    MunlockStep,
    MunmapStep,
    PreadStep,
    PwriteStep,
    ReadaheadStep,
    ReadStep,
    SetrlimitStep,
    StepParent,
    SyncFileRangeStep,
    SyncStep,
    Syscall,
    SysctlStep,
    WriteStep,
)
from vmsim.spec.traces import TraceStep
from vmsim.spec.values import AnyExpr, ByteExpr, Choice, CountExpr, Name, Probability, Register, TimeExpr

Op = Annotated[Literal["read", "write"], Choice("operation", ("read", "write"))]


class AccessStep(StepParent):
    """A burst of accesses to a region, in the order of a pattern."""

    step = "access"
    region: ByteExpr = Field(description="start address: the register of an mmap, or an expression")
    length: ByteExpr | None = Field(
        default=None, description="length in bytes; default: that of the mmap that set the register"
    )
    pattern: PatternSpec = Field(description="which page comes next")
    count: CountExpr = Field(description="number of accesses")
    op: Op = Field(default="read", description="read or write")
    write_fraction: Probability | None = Field(
        default=None, description="part of the accesses that write, instead of op"
    )
    work: TimeExpr = Field(default=Num(0), description="CPU time of the program for each access")

    @field_validator("write_fraction")
    @classmethod
    def _not_with_op(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("op") == "write":
            raise ValueError("give either op or write_fraction")
        return value

    @property
    def writes(self) -> float:
        """The part of the accesses that write, 0 to 1."""
        if self.write_fraction is not None:
            return self.write_fraction
        return 1.0 if self.op == "write" else 0.0


class DrawStep(StepParent):
    """The next address of a pattern, into a register."""

    step = "draw"
    region: ByteExpr = Field(description="start address: the register of an mmap, or an expression")
    length: ByteExpr | None = Field(
        default=None, description="length in bytes; default: that of the mmap that set the register"
    )
    pattern: PatternSpec = Field(description="which page comes next")
    as_: Register = Field(alias="as", description="register that gets the address")


class TouchStep(StepParent):
    """One access."""

    step = "touch"
    shorthand = "addr"
    addr: ByteExpr = Field(description="address")
    op: Op = Field(default="read", description="read or write")
    work: TimeExpr = Field(default=Num(0), description="CPU time of the program for it")


class ComputeStep(StepParent):
    """CPU time of the program. `{compute: 5 us}` is short for `{compute: {time: 5 us}}`."""

    step = "compute"
    shorthand = "time"
    time: TimeExpr = Field(description="how long")


class SleepStep(StepParent):
    """Waiting without a CPU. `{sleep: 10 ms}` is short for `{sleep: {time: 10 ms}}`."""

    step = "sleep"
    shorthand = "time"
    time: TimeExpr = Field(description="how long")


class LoopStep(StepParent):
    """Steps that are repeated."""

    step = "loop"
    count: CountExpr = Field(description="how often")
    as_: Register | None = Field(default=None, alias="as", description="register that counts the rounds from 0")
    steps: tuple[Step, ...] = Field(description="the steps")


class SetStep(StepParent):
    """Registers that get new values, one after the other: `{set: {page: map + 4 KiB, i: i + 1}}`."""

    step = "set"
    shorthand = "values"
    values: Mapping[Register, AnyExpr] = Field(min_length=1, description="an expression for each register")

    @classmethod
    def is_full(cls, body: object) -> bool:
        """`{values: {...}}`; anything else is the registers themselves, of which one may be called `values`."""
        return isinstance(body, dict) and set(body) == {"values"} and isinstance(body["values"], dict)


class IfStep(StepParent):
    """Steps under a condition."""

    step = "if"
    cond: AnyExpr = Field(description="true unless 0")
    then: tuple[Step, ...] = Field(default=(), description="steps if it is true")
    else_: tuple[Step, ...] = Field(default=(), alias="else", description="steps if it is not")


class OnSignalStep(StepParent):
    """Installs steps as the handler of a signal."""

    step = "on_signal"
    signal: Annotated[str, Choice("signal", ("SIGSEGV", "SIGBUS"))] = Field(description="SIGSEGV or SIGBUS")
    as_: Register | None = Field(
        default=None, alias="as", description="register that gets the faulting address (si_addr)"
    )
    steps: tuple[Step, ...] = Field(description="the handler; afterwards the access is tried again")


class PhaseStep(StepParent):
    """Steps that are timed apart under a name."""

    step = "phase"
    name: Name = Field(description="name of the phase")
    steps: tuple[Step, ...] = Field(description="the steps")


class ForkStep(Syscall):
    """fork(2): a child runs `steps`, with copies of the registers, and ends."""

    step = "fork"
    name: Name = Field(default="child", description="name of the child: it is called `task/name-0`, the next `-1`, ...")
    steps: tuple[Step, ...] = Field(description="what the child does; the parent goes on with the step after this one")


class CloneStep(Syscall):
    """clone(2) of a thread (CLONE_VM): it runs `steps` in the same address space, with copies of the registers."""

    step = "clone"
    name: Name = Field(default="thread", description="name of the thread: it is called `task/name-0`, the next `-1`, ...")
    steps: tuple[Step, ...] = Field(description="what the thread does")


class ExitStep(StepParent):
    """The end of the task."""

    step = "exit"


CONTROL_STEPS = (
    AccessStep, TraceStep, DrawStep, TouchStep, ComputeStep, SleepStep, LoopStep, SetStep, IfStep, OnSignalStep, PhaseStep,
    ShowStep, ForkStep, CloneStep, ExitStep, *PROCESS_STEPS,
)  # fmt: skip
_ALL: tuple[type[StepParent], ...] = (*CALL_STEPS, *CONTROL_STEPS)
STEPS: Mapping[str, type[StepParent]] = {step.step: step for step in _ALL}


def _step_name(given: Any) -> str | None:
    if isinstance(given, StepParent):
        return given.step
    if isinstance(given, dict) and len(given) == 1:
        name = next(iter(given))
        return name if name in STEPS else None
    return None


def _wrapped(step: Any, inner: SerializerFunctionWrapHandler) -> dict[str, Any]:
    """A step as its YAML has it: its name, and the keys that are not at their default."""
    fields = type(step).model_fields.items()
    unset = {info.alias or name for name, info in fields if getattr(step, name) == info.default}
    body = {key: value for key, value in inner(step).items() if key not in unset}
    return {step.step: body.get(step.shorthand, body) if len(body) == 1 else body}


Step = Annotated[
    Annotated[MmapStep, Tag("mmap")]
    | Annotated[MunmapStep, Tag("munmap")]
    | Annotated[MprotectStep, Tag("mprotect")]
    | Annotated[MlockStep, Tag("mlock")]
    | Annotated[Mlock2Step, Tag("mlock2")]
    | Annotated[MunlockStep, Tag("munlock")]
    | Annotated[MlockallStep, Tag("mlockall")]
    | Annotated[MunlockallStep, Tag("munlockall")]
    | Annotated[MadviseStep, Tag("madvise")]
    | Annotated[MsyncStep, Tag("msync")]
    | Annotated[MincoreStep, Tag("mincore")]
    | Annotated[MremapStep, Tag("mremap")]
    | Annotated[BrkStep, Tag("brk")]
    | Annotated[SetrlimitStep, Tag("setrlimit")]
    | Annotated[ReadStep, Tag("read")]
    | Annotated[PreadStep, Tag("pread")]
    | Annotated[WriteStep, Tag("write")]
    | Annotated[PwriteStep, Tag("pwrite")]
    | Annotated[FsyncStep, Tag("fsync")]
    | Annotated[FdatasyncStep, Tag("fdatasync")]
    | Annotated[SyncFileRangeStep, Tag("sync_file_range")]
    | Annotated[SyncStep, Tag("sync")]
    | Annotated[SysctlStep, Tag("sysctl")]
    | Annotated[LseekStep, Tag("lseek")]
    | Annotated[FadviseStep, Tag("fadvise")]
    | Annotated[ReadaheadStep, Tag("readahead")]
    | Annotated[FtruncateStep, Tag("ftruncate")]
    | Annotated[FallocateStep, Tag("fallocate")]
    | Annotated[MemfdCreateStep, Tag("memfd_create")]
    | Annotated[CloseStep, Tag("close")]
    | Annotated[PrlimitStep, Tag("prlimit")]
    | Annotated[GetrlimitStep, Tag("getrlimit")]
    | Annotated[GetrusageStep, Tag("getrusage")]
    | Annotated[PrctlStep, Tag("prctl")]
    | Annotated[SwaponStep, Tag("swapon")]
    | Annotated[SwapoffStep, Tag("swapoff")]
    | Annotated[AccessStep, Tag("access")]
    | Annotated[TraceStep, Tag("trace")]
    | Annotated[DrawStep, Tag("draw")]
    | Annotated[TouchStep, Tag("touch")]
    | Annotated[ComputeStep, Tag("compute")]
    | Annotated[SleepStep, Tag("sleep")]
    | Annotated[LoopStep, Tag("loop")]
    | Annotated[SetStep, Tag("set")]
    | Annotated[IfStep, Tag("if")]
    | Annotated[OnSignalStep, Tag("on_signal")]
    | Annotated[PhaseStep, Tag("phase")]
    | Annotated[ForkStep, Tag("fork")]
    | Annotated[CloneStep, Tag("clone")]
    | Annotated[ExecStep, Tag("exec")]
    | Annotated[WaitStep, Tag("wait")]
    | Annotated[PostStep, Tag("post")]
    | Annotated[WaitForStep, Tag("wait_for")]
    | Annotated[ShowStep, Tag("show")]
    | Annotated[ExitStep, Tag("exit")],
    Discriminator(_step_name),
    WrapSerializer(_wrapped),
]
Program = tuple[Step, ...]


def inner_steps(step: StepParent) -> tuple[Step, ...]:
    """The steps inside a step, in order; a handler's too."""
    match step:
        case LoopStep(steps=steps) | OnSignalStep(steps=steps) | PhaseStep(steps=steps):
            return steps
        case ForkStep(steps=steps) | CloneStep(steps=steps):
            return steps
        case IfStep(then=then, else_=otherwise):
            return (*then, *otherwise)
    return ()


def all_steps(program: Program) -> Iterator[Step]:
    """Every step of a program, those inside others too."""
    for step in program:
        yield step
        yield from all_steps(inner_steps(step))
