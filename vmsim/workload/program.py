"""Assembling programs: the steps of a task's YAML become rows of `code`, access patterns become rows of `pattern`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vmsim.errors import VmsimError
from vmsim.spec.errnos import ERRNOS
from vmsim.spec.expr import PAGE_SIZE, BinOp, Call, Expr, Num, Reg, evaluate, registers
from vmsim.spec.flags import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE
from vmsim.spec.patterns import PatternSpec
from vmsim.spec.process_calls import FallocateStep, FtruncateStep, SwapCall, SwaponStep
from vmsim.spec.processes import PostStep, WaitForStep, WaitStep
from vmsim.spec.show import ShowStep
from vmsim.spec.steps import (
    AccessStep,
    CloneStep,
    ComputeStep,
    DrawStep,
    ExitStep,
    ForkStep,
    IfStep,
    LoopStep,
    OnSignalStep,
    PhaseStep,
    Program,
    SetStep,
    SleepStep,
    Step,
    TouchStep,
)
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
    SyncFileRangeStep,
    Syscall,
    SysctlStep,
    WriteStep,
)
from vmsim.spec.sysctl import RUNTIME
from vmsim.spec.traces import TraceStep
from vmsim.struct.errno import SIGBUS, SIGSEGV
from vmsim.struct.files import FMODE_READ, FMODE_WRITE
from vmsim.struct.kernel import NR_EVENTS
from vmsim.struct.swaps import SWAP_FLAG_PREFER
from vmsim.struct.syscalls import SYS_MMAP, SYSCALL_NAMES
from vmsim.struct.tasks import NR_REGISTERS
from vmsim.workload import instructions as ins
from vmsim.workload.operands import process_operands
from vmsim.workload.processes import CLONE_VM
from vmsim.workload.strace.source import LogSource, is_log, scan_log
from vmsim.workload.sysctls import SYSCTL_NUMBERS
from vmsim.workload.trace.places import log_file_names, placed_areas, trace_request
from vmsim.workload.trace.source import TraceRequest, TraceSource, scan_arena

_ALU = {
    "+": ins.ALU_ADD, "-": ins.ALU_SUB, "*": ins.ALU_MUL, "//": ins.ALU_DIV, "%": ins.ALU_MOD, "&": ins.ALU_AND, "|": ins.ALU_OR,
    "^": ins.ALU_XOR, "<<": ins.ALU_SHL, ">>": ins.ALU_SHR, "<": ins.ALU_LT, "<=": ins.ALU_LE, "==": ins.ALU_EQ, "!=": ins.ALU_NE,
    ">": ins.ALU_GT, ">=": ins.ALU_GE, "min": ins.ALU_MIN, "max": ins.ALU_MAX,
}  # fmt: skip
TASK_PAGES = (1 << 35) - 1  # of a program on x86-64
MAX_TASKS = 1 << 14  # that the programs of a run can make
UNKNOWN_ROUNDS = 1 << 10  # of loops whose count is not constant and of handlers, as far as room for new tasks goes
_SIGNALS = {"SIGSEGV": SIGSEGV, "SIGBUS": SIGBUS}


@dataclass(frozen=True)
class PatternUse:
    """One row of `pattern`: the pattern, the pages of its region, the part of its accesses that write, its stream's name."""

    spec: PatternSpec
    pages: int
    writes: float
    stream: str


@dataclass
class Assembly:
    """All programs of a run: code rows, patterns (row i + 1 of `pattern`), names of phases, by mark >> 1, of events and children."""

    code: list[list[int]] = field(default_factory=list)
    patterns: list[PatternUse] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    shows: list[tuple[str, ...]] = field(default_factory=list)  # files of /proc to keep, by -1 - mark
    traces: list[TraceSource | LogSource] = field(default_factory=list)
    swap_areas: Mapping[str, int] = field(default_factory=dict)  # of the machine: numbers by name


def signed(value: int) -> int:
    """A number of up to 64 bits as the signed one of the same bits."""
    return ((value + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def _expect(step: Syscall) -> int:
    return {"ok": ins.EXPECT_OK, "any": ins.EXPECT_ANY}.get(step.expect, ERRNOS.get(step.expect, 0))


class Assembler:
    """Appends one task's program to an assembly. `files` gives file ids by name; `page_size` is in bytes."""

    def __init__(
        self, out: Assembly, task: str, page_size: int, files: Mapping[str, int], variables: Mapping[str, int], task_pages: int = TASK_PAGES
    ) -> None:
        self.out = out
        self.task = task
        self.page_size = page_size
        self.files = files
        self.task_pages = task_pages
        self.variables = dict(variables)
        self.registers: dict[str, int] = {}
        self.lengths: dict[str, Expr] = {}
        self.shared_patterns: dict[str, int] = {}
        self.handlers: list[tuple[int, OnSignalStep]] = []
        self.temporaries = 0
        self.rounds = 1  # how often the steps in hand are run, at most
        self.forks = 0  # tasks that the program makes, at most
        self.first_pattern = self.nr_patterns = 0  # its rows of `pattern`
        self.inside = 0  # fork and clone steps around the one in hand

    def assemble(self, program: Program) -> int:
        """The code of a program and of its handlers; the number of its first instruction."""
        for name in self.variables:
            self.register(name)
        first = len(self.out.code)
        self.first_pattern = len(self.out.patterns) + 1
        self.steps(program)
        self.emit(ins.OP_EXIT)
        while self.handlers:
            at, step = self.handlers.pop(0)
            self.out.code[at][ins.CODE_ARG + 1] = len(self.out.code)
            self.rounds = UNKNOWN_ROUNDS
            self.steps(step.steps)
            self.emit(ins.OP_SIGRETURN)
        self.nr_patterns = len(self.out.patterns) + 1 - self.first_pattern
        return first

    def register(self, name: str) -> int:
        """The number of a named register."""
        number = self.registers.setdefault(name, len(self.registers))
        if number >= NR_REGISTERS - 16:
            raise VmsimError(f"task {self.task}: a program has at most {NR_REGISTERS - 16} registers")
        return number

    def temporary(self) -> int:
        """A register for a part of an expression, free again at the next step."""
        self.temporaries += 1
        if self.temporaries > 16:
            raise VmsimError(f"task {self.task}: an expression is too deep")
        return NR_REGISTERS - self.temporaries

    def emit(self, op: int, *operands: Expr | int, dest: int = -1, expect: int = ins.EXPECT_OK) -> int:
        """Append one instruction; integers are immediate, expressions are computed first. Its number."""
        row = [0] * 12
        row[ins.CODE_OP] = op
        for i, operand in enumerate(operands):
            value, is_register = (signed(operand), 0) if isinstance(operand, int) else self.operand(operand)
            row[ins.CODE_ARG + i] = value
            row[ins.CODE_MASK] |= is_register << i
        row[ins.CODE_DEST] = dest
        row[ins.CODE_EXPECT] = expect
        self.out.code.append(row)
        return len(self.out.code) - 1

    def operand(self, expr: Expr) -> tuple[int, int]:
        """An expression as an operand: a value and 0, or a register and 1, with the code that computes it emitted."""
        match expr:
            case Num(value):
                return signed(value), 0
            case Reg(name):
                return (self.page_size, 0) if name == PAGE_SIZE else (self.register(name), 1)
        target = self.temporary()
        self.compute(expr, target)
        return target, 1

    def compute(self, expr: Expr, target: int) -> None:
        """Code that puts the value of an expression into a register."""
        match expr:
            case BinOp(op, left, right):
                self.emit(ins.OP_ALU, _ALU[op], left, right, dest=target)
            case Call("page", (inside,)):
                self.emit(ins.OP_ALU, ins.ALU_AND, inside, -self.page_size, dest=target)
            case Call(name, (left, right)):
                self.emit(ins.OP_ALU, _ALU[name], left, right, dest=target)
            case _:
                self.emit(ins.OP_ALU, ins.ALU_ADD, expr, 0, dest=target)

    def steps(self, program: Program) -> None:
        """Code of steps in order."""
        for step in program:
            self.temporaries = 0
            self.step(step)

    def step(self, step: Step) -> None:
        """Code of one step."""
        match step:
            case ForkStep() | CloneStep():
                self.fork(step)
            case WaitStep():
                self.emit(ins.OP_WAIT, step.which, dest=self.result(step), expect=_expect(step))
            case Syscall():
                self.syscall(step)
            case PostStep():
                self.emit(ins.OP_POST, self.numbered(self.out.events, step.event, NR_EVENTS), step.count)
            case WaitForStep():
                self.emit(ins.OP_WAIT_FOR, self.numbered(self.out.events, step.event, NR_EVENTS), step.count)
            case AccessStep():
                pattern = self.pattern(step.pattern, step.region, step.length, step.writes)
                self.emit(ins.OP_ACCESS, pattern, step.region, step.count, step.work)
            case TraceStep():
                self.trace(step)
            case DrawStep():
                pattern = self.pattern(step.pattern, step.region, step.length, 0.0)
                self.emit(ins.OP_DRAW, pattern, step.region, dest=self.register(step.as_))
            case TouchStep():
                self.emit(ins.OP_TOUCH, step.addr, 1 if step.op == "write" else 0, step.work)
            case ComputeStep():
                self.emit(ins.OP_COMPUTE, step.time)
            case SleepStep():
                self.emit(ins.OP_SLEEP, step.time)
            case LoopStep():
                self.loop(step)
            case SetStep():
                for name, expr in step.values.items():
                    self.temporaries = 0
                    self.variables.pop(name, None)
                    self.compute(expr, self.register(name))
            case IfStep():
                self.condition(step)
            case OnSignalStep():
                register = self.register(step.as_) if step.as_ else NR_REGISTERS - 1
                self.handlers.append((self.emit(ins.OP_HANDLER, _SIGNALS[step.signal], 0, register), step))
            case PhaseStep():
                self.phase(step)
            case ShowStep():
                self.out.shows.append(step.files)
                self.emit(ins.OP_PHASE, -len(self.out.shows))
            case ExitStep():
                self.emit(ins.OP_EXIT)
            case _:
                raise VmsimError(f"task {self.task}: the step {step.step!r} can't be run")

    def loop(self, step: LoopStep) -> None:
        """A counter in a register of its own, tested before the first round."""
        counter = self.register(f" loop {len(self.registers)}")
        self.compute(step.count, counter)
        index = self.register(step.as_) if step.as_ else None
        if index is not None:
            self.emit(ins.OP_ALU, ins.ALU_ADD, 0, 0, dest=index)
        skip = self.emit(ins.OP_JUMP_ZERO, 0, 0)
        self.out.code[skip][ins.CODE_ARG] = counter
        self.out.code[skip][ins.CODE_MASK] = 1
        first = len(self.out.code)
        rounds = self.rounds
        self.rounds = min(rounds * self.constant(step.count), MAX_TASKS)
        self.steps(step.steps)
        self.rounds = rounds
        if index is not None:
            row = self.emit(ins.OP_ALU, ins.ALU_ADD, 0, 1, dest=index)
            self.out.code[row][ins.CODE_ARG + 1] = index
            self.out.code[row][ins.CODE_MASK] = 2
        self.emit(ins.OP_COUNT_DOWN, counter, first)
        self.out.code[skip][ins.CODE_ARG + 1] = len(self.out.code)

    def constant(self, expr: Expr) -> int:
        """How often a loop runs, or UNKNOWN_ROUNDS if that is not known before it does."""
        if any(name not in self.variables for name in registers(expr) if name != PAGE_SIZE):
            return UNKNOWN_ROUNDS
        return max(evaluate(expr, self.variables, self.page_size), 0)

    def fork(self, step: ForkStep | CloneStep) -> None:
        """The new task's steps stand behind the instruction, and the parent jumps over them."""
        label = self.numbered(self.out.children, step.name, MAX_TASKS)
        flags = CLONE_VM if isinstance(step, CloneStep) else 0
        self.forks = min(self.forks + self.rounds, MAX_TASKS)
        self.emit(ins.OP_FORK, flags, len(self.out.code) + 2, label, dest=self.result(step), expect=_expect(step))
        over = self.emit(ins.OP_JUMP, 0)
        self.apart(step.steps)
        self.out.code[over][ins.CODE_ARG] = len(self.out.code)

    def apart(self, program: Program) -> None:
        """Steps that end in the end of their task; what they map, the steps after them do not know."""
        lengths = dict(self.lengths)
        self.inside += 1
        self.steps(program)
        self.inside -= 1
        self.emit(ins.OP_EXIT)
        self.lengths = lengths

    def trace(self, step: TraceStep) -> None:
        """The mappings that a trace needs, and its accesses."""
        request = trace_request(step, self.page_size)
        if is_log(request):
            self.calls(step, request)
            return
        base: Expr | int = 0
        if step.map == "recorded":
            for area, fd, pgoff in placed_areas(request, self.files):
                address, length = (n * self.page_size for n in (area.start, area.pages))
                prot = PROT_READ | (PROT_EXEC if area.is_code else PROT_WRITE)
                flags = MAP_PRIVATE | MAP_FIXED | (0 if fd >= 0 else MAP_ANONYMOUS)
                self.emit(ins.OP_SYSCALL, SYS_MMAP, address, length, prot, flags, fd, pgoff * self.page_size)
            source = TraceSource(request)
        else:
            footprint = scan_arena(request)
            source = TraceSource(request, footprint)
            base = self.arena(step, footprint.arena_bytes)
        self.out.traces.append(source)
        self.emit(ins.OP_TRACE, len(self.out.traces), base, step.work)

    def calls(self, step: TraceStep, request: TraceRequest) -> None:
        """The calls of a log, where it was recorded."""
        where = f"task {self.task}: {step.file} is a log of calls"
        if self.inside:
            raise VmsimError(f"{where}, which makes tasks of its own: it can't be in a fork or clone step")
        if step.region is not None or step.as_ is not None or step.fetches != "touch":
            raise VmsimError(f"{where}, whose addresses are its own: region, as and fetches are for traces of accesses")
        facts = scan_log(request, self.task_pages)
        self.forks = min(self.forks + self.rounds * facts.tasks, MAX_TASKS + 1)
        if self.forks > MAX_TASKS:
            raise VmsimError(f"{where} of more than {MAX_TASKS} processes and threads")
        names = log_file_names(request, facts)
        self.out.traces.append(LogSource(request, self.task, self.task_pages, self.files[names[0]] if names else 0))
        labels = [self.numbered(self.out.children, name, MAX_TASKS) for name in ("process", "thread")]
        self.emit(ins.OP_CALLS, len(self.out.traces), *labels, step.work)

    def arena(self, step: TraceStep, size: int) -> Expr:
        """Where a trace's arena lies: in a region of the program's, if it is large enough, or in a mapping for it."""
        if step.region is None:
            name = step.as_ or f" trace {len(self.out.traces)}"
            both = MAP_PRIVATE | MAP_ANONYMOUS
            self.emit(ins.OP_SYSCALL, SYS_MMAP, 0, size, PROT_READ | PROT_WRITE, both, -1, 0, dest=self.register(name))
            self.lengths[name] = Num(size)
            return Reg(name)
        length = self.lengths.get(step.region.name) if isinstance(step.region, Reg) else None
        if length is not None and not any(name not in self.variables for name in registers(length) if name != PAGE_SIZE):
            given = evaluate(length, self.variables, self.page_size)
            if given < size:
                raise VmsimError(f"task {self.task}: {step.file} needs a region of {size} bytes (in all), but it has {given}")
        return step.region

    def numbered(self, names: list[str], name: str, most: int) -> int:
        """The number of a name in a list, which it is added to."""
        if name not in names:
            if len(names) == most:
                raise VmsimError(f"task {self.task}: more than {most} names such as {name!r}")
            names.append(name)
        return names.index(name)

    def result(self, step: Syscall) -> int:
        """The register that gets a call's result, -1 if none does."""
        return self.register(step.as_) if step.as_ else -1

    def condition(self, step: IfStep) -> None:
        """Jumps over the branch that is not taken."""
        skip = self.emit(ins.OP_JUMP_ZERO, step.cond, 0)
        self.steps(step.then)
        if step.else_:
            end = self.emit(ins.OP_JUMP, 0)
            self.out.code[skip][ins.CODE_ARG + 1] = len(self.out.code)
            self.steps(step.else_)
            self.out.code[end][ins.CODE_ARG] = len(self.out.code)
        else:
            self.out.code[skip][ins.CODE_ARG + 1] = len(self.out.code)

    def phase(self, step: PhaseStep) -> None:
        """Marks around the steps of a phase."""
        if step.name not in self.out.phases:
            self.out.phases.append(step.name)
        mark = self.out.phases.index(step.name) << 1
        self.emit(ins.OP_PHASE, mark | 1)
        self.steps(step.steps)
        self.emit(ins.OP_PHASE, mark)

    def pattern(self, spec: PatternSpec, region: Expr, length: Expr | None, writes: float) -> int:
        """The row of a pattern; steps whose patterns share a name share it."""
        key = spec.name
        if key is not None and key in self.shared_patterns:
            return self.shared_patterns[key]
        if length is None:
            if not isinstance(region, Reg) or region.name not in self.lengths:
                raise VmsimError(f"task {self.task}: the region's length is not known; give `length`")
            length = self.lengths[region.name]
        unknown = [name for name in registers(length) if name not in self.variables]
        if unknown:
            raise VmsimError(f"task {self.task}: the length of a pattern's region must be constant, but depends on {unknown[0]!r}")
        pages = evaluate(length, self.variables, self.page_size) // self.page_size
        if pages < 1:
            raise VmsimError(f"task {self.task}: the region of a pattern is shorter than a page")
        self.out.patterns.append(PatternUse(spec, pages, writes, f"workload/{self.task}/{key or len(self.out.patterns)}"))
        row = len(self.out.patterns)
        if key is not None:
            self.shared_patterns[key] = row
        return row

    def syscall(self, step: Syscall) -> None:
        """One system call, its operands in the order of the kernel's signature."""
        operands = self.call_operands(step)
        number = SYSCALL_NAMES.index(step.step)
        self.emit(ins.OP_SYSCALL, number, *operands, dest=self.result(step), expect=_expect(step))
        if isinstance(step, MmapStep) and step.as_:
            self.lengths[step.as_] = step.length

    def call_operands(self, step: Syscall) -> tuple[Expr | int, ...]:
        """The arguments of a system call."""
        match step:
            case MmapStep():
                fd = self.descriptor(step) if step.file or step.fd is not None else -1
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
                return self.swap_operands(step)
            case FileCall():
                return self.descriptor(step), *self.file_operands(step)
        return process_operands(step)

    def descriptor(self, step: MmapStep | FileCall) -> Expr | int:
        """The descriptor that a call is made with."""
        if step.file is not None:
            return self.files[step.file] << 2 | FMODE_READ | FMODE_WRITE
        return Num(-1) if step.fd is None else step.fd

    def swap_operands(self, step: SwapCall) -> tuple[int, ...]:
        """The area of a call on swap, by its number, and swapon's flags."""
        area = self.out.swap_areas[step.area]
        if not isinstance(step, SwaponStep):
            return (area,)
        return area, step.flags if step.priority is None else step.flags | SWAP_FLAG_PREFER | step.priority

    def file_operands(self, step: FileCall) -> tuple[Expr | int, ...]:
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
