"""Assembling programs: the steps of a task's YAML become rows of `code`, access patterns become rows of `pattern`."""

from __future__ import annotations

from collections.abc import Mapping

from vmsim.errors import VmsimError
from vmsim.spec.errnos import ERRNOS
from vmsim.spec.expr import PAGE_SIZE, Expr, Num, Reg, evaluate, registers
from vmsim.spec.flags import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE
from vmsim.spec.patterns import PatternSpec
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
from vmsim.spec.syscalls import MmapStep, Syscall
from vmsim.spec.traces import TraceStep
from vmsim.struct.errno import SIGBUS, SIGSEGV
from vmsim.struct.kernel import NR_EVENTS
from vmsim.struct.syscalls import SYS_MMAP, SYSCALL_NAMES
from vmsim.struct.tasks import NR_REGISTERS
from vmsim.workload import instructions as ins
from vmsim.workload.assembly import Assembly, Emitter, PatternUse
from vmsim.workload.operands import call_operands
from vmsim.workload.processes import CLONE_VM
from vmsim.workload.strace.source import LogSource, is_log, scan_log
from vmsim.workload.trace.places import log_file_names, placed_areas, trace_request
from vmsim.workload.trace.source import TraceRequest, TraceSource, scan_arena

TASK_PAGES = (1 << 35) - 1  # of a program on x86-64
MAX_TASKS = 1 << 14  # that the programs of a run can make
UNKNOWN_ROUNDS = 1 << 10  # of loops whose count is not constant and of handlers, as far as room for new tasks goes
_SIGNALS = {"SIGSEGV": SIGSEGV, "SIGBUS": SIGBUS}


def _expect(step: Syscall) -> int:
    return {"ok": ins.EXPECT_OK, "any": ins.EXPECT_ANY}.get(step.expect, ERRNOS.get(step.expect, 0))


class Assembler(Emitter):
    """Appends one task's program to an assembly. `files` gives file ids by name; `page_size` is in bytes."""

    def __init__(
        self, out: Assembly, task: str, page_size: int, files: Mapping[str, int], variables: Mapping[str, int], task_pages: int = TASK_PAGES
    ) -> None:
        super().__init__(out, task, page_size)
        self.files = files
        self.task_pages = task_pages
        self.variables = dict(variables)
        self.lengths: dict[str, Expr] = {}
        self.shared_patterns: dict[str, int] = {}
        self.handlers: list[tuple[int, OnSignalStep]] = []
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
        operands = call_operands(step, self.files, self.out.swap_areas)
        number = SYSCALL_NAMES.index(step.step)
        self.emit(ins.OP_SYSCALL, number, *operands, dest=self.result(step), expect=_expect(step))
        if isinstance(step, MmapStep) and step.as_:
            self.lengths[step.as_] = step.length
