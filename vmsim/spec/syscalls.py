"""System calls as steps of a program."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from vmsim.spec import flags
from vmsim.spec.errnos import ERRNOS
from vmsim.spec.expr import Expr, Num
from vmsim.spec.flags import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE
from vmsim.spec.model import SpecModel
from vmsim.spec.rlimits import RESOURCES, UNLIMITED
from vmsim.spec.sysctl import RUNTIME
from vmsim.spec.values import AnyExpr, ByteExpr, Checked, Choice, CountExpr, Expression, FlagSet, Name, Register
from vmsim.struct.tasks import RLIM_INFINITY

Prot = Annotated[int, FlagSet(flags.PROT)]
MapFlags = Annotated[int, FlagSet(flags.MAP)]
MlockFlags = Annotated[int, FlagSet(flags.MLOCK)]
MclFlags = Annotated[int, FlagSet(flags.MCL)]
Advice = Annotated[int, FlagSet(flags.MADV)]
MsyncFlags = Annotated[int, FlagSet(flags.MS)]
Fadvice = Annotated[int, FlagSet(flags.FADV)]
Whence = Annotated[int, FlagSet(flags.SEEK)]
SyncFlags = Annotated[int, FlagSet(flags.SYNC_FILE_RANGE)]
MremapFlags = Annotated[int, FlagSet(flags.MREMAP)]
Expectation = Annotated[str, Choice("expectation", ("ok", "any", *ERRNOS))]


class StepParent(SpecModel):
    """One step of a program. In YAML a mapping of its name to its keys: `{munmap: {addr: map, length: 1 MiB}}`."""

    step: ClassVar[str]
    shorthand: ClassVar[str | None] = None  # field that a bare value stands for

    @model_validator(mode="before")
    @classmethod
    def _unwrapped(cls, data: Any) -> Any:
        if not isinstance(data, dict) or set(data) != {cls.step}:
            return data
        body = data[cls.step]
        if body is None:
            body = {}
        elif cls.shorthand and not cls.is_full(body):
            body = {cls.shorthand: body}
        return body

    @classmethod
    def is_full(cls, body: object) -> bool:
        """Whether what stands under the step's name are its keys, rather than the value of its `shorthand`."""
        return isinstance(body, dict)


class Syscall(StepParent):
    """What all system calls have."""

    as_: Register | None = Field(
        default=None, alias="as", description="register that gets the result, or the negative errno"
    )
    expect: Expectation = Field(
        default="ok",
        description="ok: an error ends the task; any: errors are ignored; an errno name: exactly this error must come",
    )


class RangeCall(Syscall):
    """What calls on a range of addresses have."""

    addr: ByteExpr = Field(description="start address")
    length: ByteExpr = Field(description="length in bytes")


def _default_flags(data: dict[str, Any]) -> int:
    return MAP_PRIVATE if data.get("file") or data.get("fd") is not None else MAP_PRIVATE | MAP_ANONYMOUS


class MmapStep(Syscall):
    """mmap(2)."""

    step = "mmap"
    addr: ByteExpr = Field(default=Num(0), description="hint, or the address with MAP_FIXED")
    length: ByteExpr = Field(description="length in bytes")
    prot: Prot = Field(default=PROT_READ | PROT_WRITE, description="protection")
    file: Name | None = Field(default=None, description="a file of the experiment; default: none")
    fd: AnyExpr | None = Field(default=None, description="instead of file: a descriptor that memfd_create gave")
    flags: MapFlags = Field(
        default_factory=_default_flags, description="default: MAP_PRIVATE, and MAP_ANONYMOUS if there is no file"
    )
    offset: ByteExpr = Field(default=Num(0), description="offset in the file")

    @field_validator("fd")
    @classmethod
    def _not_with_file(cls, value: Expr | None, info: ValidationInfo) -> Expr | None:
        if value is not None and info.data.get("file") is not None:
            raise ValueError("give either file or fd")
        return value


class MunmapStep(RangeCall):
    """munmap(2)."""

    step = "munmap"


class MprotectStep(RangeCall):
    """mprotect(2)."""

    step = "mprotect"
    prot: Prot = Field(description="new protection; PROT_NONE allows nothing")


class MlockStep(RangeCall):
    """mlock(2)."""

    step = "mlock"


class Mlock2Step(RangeCall):
    """mlock2(2), from 4.4 (ENOSYS before)."""

    step = "mlock2"
    flags: MlockFlags = Field(default=0, description="MLOCK_ONFAULT: lock pages when they are first used")


class MunlockStep(RangeCall):
    """munlock(2)."""

    step = "munlock"


class MlockallStep(Syscall):
    """mlockall(2)."""

    step = "mlockall"
    flags: MclFlags = Field(description="MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT (from 4.4)")


class MunlockallStep(Syscall):
    """munlockall(2)."""

    step = "munlockall"


class MadviseStep(RangeCall):
    """madvise(2)."""

    step = "madvise"
    advice: Advice = Field(description="one MADV_ name")


class MsyncStep(RangeCall):
    """msync(2)."""

    step = "msync"
    flags: MsyncFlags = Field(description="MS_ASYNC or MS_SYNC, MS_INVALIDATE")


class MincoreStep(RangeCall):
    """mincore(2)."""

    step = "mincore"


class MremapStep(Syscall):
    """mremap(2)."""

    step = "mremap"
    addr: ByteExpr = Field(description="present start address")
    old_length: ByteExpr = Field(description="present length in bytes")
    new_length: ByteExpr = Field(description="new length in bytes")
    flags: MremapFlags = Field(default=0, description="MREMAP_MAYMOVE, MREMAP_FIXED")
    new_addr: ByteExpr = Field(default=Num(0), description="new address with MREMAP_FIXED")


class BrkStep(Syscall):
    """brk(2): the result is the new end of the heap, or the unchanged one on failure; `addr: 0` asks for it."""

    step = "brk"
    addr: ByteExpr = Field(description="new end of the heap")


_limit = Expression("any")


def _read_limit(given: object) -> Expr:
    return Num(RLIM_INFINITY) if isinstance(given, str) and given in UNLIMITED else _limit.validate(given)


def _dump_limit(expr: Expr) -> str | int:
    return UNLIMITED[0] if expr == Num(RLIM_INFINITY) else _limit.dump(expr)


_LIMIT_SCHEMA = {"title": "a limit, an expression, or unlimited", "type": ["integer", "string"]}
LimitExpr = Annotated[Expr, _limit, Checked(_read_limit, _LIMIT_SCHEMA, _dump_limit)]


class SetrlimitStep(Syscall):
    """setrlimit(2)."""

    step = "setrlimit"
    resource: Annotated[str, Choice("resource", tuple(RESOURCES))] = Field(description="RLIMIT_ name")
    soft: LimitExpr = Field(description="new soft limit, in the resource's unit, or unlimited")
    hard: LimitExpr | None = Field(default=None, description="new hard limit; default: it stays")


class FileCall(Syscall):
    """What calls on a file have. All tasks share one descriptor of each file, open for reading and writing."""

    file: Name | None = Field(default=None, description="a file of the experiment")
    fd: AnyExpr | None = Field(default=None, description="instead of file: a descriptor that memfd_create gave")

    @model_validator(mode="after")
    def _one_file(self) -> Self:
        if (self.file is None) == (self.fd is None):
            raise ValueError("expected either file or fd")
        return self


class ReadStep(FileCall):
    """read(2) at the file's position, which it moves."""

    step = "read"
    length: ByteExpr = Field(description="bytes at most")


class PreadStep(FileCall):
    """pread(2)."""

    step = "pread"
    length: ByteExpr = Field(description="bytes at most")
    offset: ByteExpr = Field(description="where in the file")


class LseekStep(FileCall):
    """lseek(2)."""

    step = "lseek"
    offset: ByteExpr = Field(description="where to, from the place that whence names")
    whence: Whence = Field(default=flags.SEEK_SET, description="SEEK_SET, SEEK_CUR or SEEK_END")


class FadviseStep(FileCall):
    """posix_fadvise(2)."""

    step = "fadvise"
    advice: Fadvice = Field(description="one FADV_ name")
    offset: ByteExpr = Field(default=Num(0), description="start of the range")
    length: ByteExpr = Field(default=Num(0), description="length in bytes; 0: to the end of the file")


class ReadaheadStep(FileCall):
    """readahead(2)."""

    step = "readahead"
    offset: ByteExpr = Field(description="start of the range")
    length: ByteExpr = Field(description="length in bytes")


class WriteStep(FileCall):
    """write(2) at the file's position, which it moves; the file grows as needed."""

    step = "write"
    length: ByteExpr = Field(description="bytes")


class PwriteStep(FileCall):
    """pwrite(2)."""

    step = "pwrite"
    length: ByteExpr = Field(description="bytes")
    offset: ByteExpr = Field(description="where in the file")


class FsyncStep(FileCall):
    """fsync(2)."""

    step = "fsync"
    shorthand = "file"


class FdatasyncStep(FileCall):
    """fdatasync(2)."""

    step = "fdatasync"
    shorthand = "file"


class SyncFileRangeStep(FileCall):
    """sync_file_range(2)."""

    step = "sync_file_range"
    offset: ByteExpr = Field(default=Num(0), description="start of the range")
    length: ByteExpr = Field(default=Num(0), description="length in bytes; 0: to the end of the file")
    flags: SyncFlags = Field(description="SYNC_FILE_RANGE_ names")


class SyncStep(Syscall):
    """sync(2)."""

    step = "sync"


class SysctlStep(Syscall):
    """Writing to a file of /proc/sys/vm."""

    step = "sysctl"
    name: Annotated[str, Choice("setting that a program can write", tuple(RUNTIME))] = Field(
        description="a setting that can change while the machine runs, or vm.drop_caches"
    )
    value: CountExpr = Field(description="new value; EINVAL outside the setting's range")


FILE_STEPS = (
    ReadStep, PreadStep, WriteStep, PwriteStep, LseekStep, FadviseStep, ReadaheadStep, FsyncStep, FdatasyncStep,
    SyncFileRangeStep, SyncStep, SysctlStep,
)  # fmt: skip
SYSCALL_STEPS = (
    MmapStep, MunmapStep, MprotectStep, MlockStep, Mlock2Step, MunlockStep, MlockallStep, MunlockallStep, MadviseStep,
    MsyncStep, MincoreStep, MremapStep, BrkStep, SetrlimitStep, *FILE_STEPS,
)  # fmt: skip
