"""Code rows of a run's programs, and what appends to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vmsim.errors import VmsimError
from vmsim.spec.expr import PAGE_SIZE, BinOp, Call, Expr, Num, Reg
from vmsim.spec.patterns import PatternSpec
from vmsim.struct.tasks import NR_REGISTERS
from vmsim.workload import instructions as ins
from vmsim.workload.strace.source import LogSource
from vmsim.workload.trace.source import TraceSource

_ALU = {
    "+": ins.ALU_ADD, "-": ins.ALU_SUB, "*": ins.ALU_MUL, "//": ins.ALU_DIV, "%": ins.ALU_MOD, "&": ins.ALU_AND, "|": ins.ALU_OR,
    "^": ins.ALU_XOR, "<<": ins.ALU_SHL, ">>": ins.ALU_SHR, "<": ins.ALU_LT, "<=": ins.ALU_LE, "==": ins.ALU_EQ, "!=": ins.ALU_NE,
    ">": ins.ALU_GT, ">=": ins.ALU_GE, "min": ins.ALU_MIN, "max": ins.ALU_MAX,
}  # fmt: skip


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


class Emitter:
    """Appends instructions to an assembly: registers by name, expressions, names of what a run counts. `page_size` is in bytes."""

    def __init__(self, out: Assembly, task: str, page_size: int) -> None:
        self.out = out
        self.task = task
        self.page_size = page_size
        self.registers: dict[str, int] = {}
        self.temporaries = 0

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

    def numbered(self, names: list[str], name: str, most: int) -> int:
        """The number of a name in a list, which it is added to."""
        if name not in names:
            if len(names) == most:
                raise VmsimError(f"task {self.task}: more than {most} names such as {name!r}")
            names.append(name)
        return names.index(name)
