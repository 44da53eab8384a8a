"""The arguments of system calls, as the kernel takes them."""

from __future__ import annotations

from collections.abc import Mapping

from vmsim.mm.rlimit import HARD_STAYS
from vmsim.spec.expr import Expr, Num
from vmsim.spec.process_calls import (
    PRCTL_OPTIONS,
    RUSAGE_FIELDS,
    RUSAGE_WHO,
    CloseStep,
    FallocateStep,
    FtruncateStep,
    GetrlimitStep,
    GetrusageStep,
    MemfdCreateStep,
    PrctlStep,
    PrlimitStep,
    SwapCall,
    SwaponStep,
)
from vmsim.spec.rlimits import RESOURCES
from vmsim.spec.syscalls import (
    BrkStep,
    FadviseStep,
    FileCall,
    LseekStep,
    MadviseStep,
    Mlock2Step,
    MlockallStep,
    MmapStep,
    MprotectStep,
    MremapStep,
    MsyncStep,
    PreadStep,
    PwriteStep,
    RangeCall,
    ReadaheadStep,
    ReadStep,
    SetrlimitStep,
    SyncFileRangeStep,
    Syscall,
    SysctlStep,
    WriteStep,
)
from vmsim.spec.sysctl import RUNTIME
from vmsim.struct.files import FMODE_READ, FMODE_WRITE
from vmsim.struct.swaps import SWAP_FLAG_PREFER
from vmsim.workload.sysctls import SYSCTL_NUMBERS

Operands = tuple[Expr | int, ...]


def _process_operands(step: Syscall) -> Operands:
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


def call_operands(step: Syscall, files: Mapping[str, int], swap_areas: Mapping[str, int]) -> Operands:
    """The arguments of a system call, in the order of the kernel's signature; ids of files and numbers of swap areas by name."""
    match step:
        case MmapStep():
            fd = _descriptor(step, files) if step.file or step.fd is not None else -1
            return step.addr, step.length, step.prot, step.flags, fd, step.offset
        case MprotectStep():
            return step.addr, step.length, step.prot
        case Mlock2Step() | MsyncStep():
            return step.addr, step.length, step.flags
        case MadviseStep():
            return step.addr, step.length, step.advice
        case RangeCall():
            return step.addr, step.length
        case MlockallStep():
            return (step.flags,)
        case MremapStep():
            return step.addr, step.old_length, step.new_length, step.flags, step.new_addr
        case BrkStep():
            return (step.addr,)
        case SysctlStep(name=name, value=value):
            limits = RUNTIME[name]
            return SYSCTL_NUMBERS[name], value, limits.minimum, limits.maximum
        case SwapCall():
            return _swap_operands(step, swap_areas)
        case FileCall():
            return _descriptor(step, files), *_file_operands(step)
    return _process_operands(step)


def _descriptor(step: MmapStep | FileCall, files: Mapping[str, int]) -> Expr | int:
    """The descriptor that a call is made with."""
    if step.file is not None:
        return files[step.file] << 2 | FMODE_READ | FMODE_WRITE
    return Num(-1) if step.fd is None else step.fd


def _swap_operands(step: SwapCall, areas: Mapping[str, int]) -> Operands:
    """The area of a call on swap, by its number, and swapon's flags."""
    area = areas[step.area]
    if not isinstance(step, SwaponStep):
        return (area,)
    return area, step.flags if step.priority is None else step.flags | SWAP_FLAG_PREFER | step.priority


def _file_operands(step: FileCall) -> Operands:
    """The arguments of a call on a file, after its descriptor."""
    match step:
        case PreadStep() | PwriteStep():
            return step.length, step.offset
        case ReadStep() | WriteStep():
            return (step.length,)
        case LseekStep():
            return step.offset, step.whence
        case FadviseStep():
            return step.offset, step.length, step.advice
        case SyncFileRangeStep():
            return step.offset, step.length, step.flags
        case ReadaheadStep():
            return step.offset, step.length
        case FtruncateStep():
            return (step.length,)
        case FallocateStep():
            return step.mode, step.offset, step.length
    return ()
