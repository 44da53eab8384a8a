"""Expressions that stand for a number in a program: registers, numbers with units, arithmetic, as a small tree.

`parse_expr` reads them with Python's parser from a safe subset of its grammar; the workload layer compiles the tree.
Arithmetic is that of signed 64-bit integers with `//` and `%` rounding down; comparisons give 1 or 0.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from keyword import kwlist
from typing import Final, Literal

from vmsim.errors import unknown_name
from vmsim.spec.flags import shown
from vmsim.units import parse_bytes, parse_duration

Kind = Literal["any", "bytes", "ns", "count"]
PAGE_SIZE: Final = "PAGE_SIZE"
MAX_LENGTH: Final = 1000
MAX_DEPTH: Final = 50


@dataclass(frozen=True, slots=True)
class Num:
    """A constant, from -2^63 to 2^64-1 (above 2^63 it stands for an address or length with the top bit set)."""

    value: int


@dataclass(frozen=True, slots=True)
class Reg:
    """The value of a register; `PAGE_SIZE` is the machine's page size in bytes."""

    name: str


@dataclass(frozen=True, slots=True)
class BinOp:
    """`left op right`, op one of `OPERATORS`; `-x` is `0 - x`, `~x` is `x ^ -1`, `not x` is `x == 0`."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Call:
    """`page(x)`: x rounded down to its page; `min(a, b)` and `max(a, b)` of exactly two."""

    name: str
    args: tuple[Expr, ...]


Expr = Num | Reg | BinOp | Call


def _shift(operation: Callable[[int, int], int]) -> Callable[[int, int], int]:
    def shifted(left: int, right: int) -> int:
        if not 0 <= right < 64:
            raise ValueError(f"a shift by {right} bits (0 to 63 are possible)")
        return operation(left, right)

    return shifted


def _division(operation: Callable[[int, int], int]) -> Callable[[int, int], int]:
    def divided(left: int, right: int) -> int:
        if right == 0:
            raise ValueError("a division by zero")
        return operation(left, right)

    return divided


OPERATORS: Final[Mapping[str, Callable[[int, int], int]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "//": _division(lambda a, b: a // b),
    "%": _division(lambda a, b: a % b),
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "<<": _shift(lambda a, b: a << b),
    ">>": _shift(lambda a, b: a >> b),
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    "<=": lambda a, b: int(a <= b),
    ">": lambda a, b: int(a > b),
    ">=": lambda a, b: int(a >= b),
}
FUNCTIONS: Final = ("max", "min", "page")
RESERVED: Final = frozenset((PAGE_SIZE, *kwlist))

_SYMBOLS: Final[Mapping[type[ast.AST], str]] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Mod: "%", ast.LShift: "<<", ast.RShift: ">>",
    ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^", ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=",
    ast.Gt: ">", ast.GtE: ">=",
}  # fmt: skip
_BYTE_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "kB", "KB", "MB", "GB", "TB")
_TIME_UNITS: Final = ("ns", "us", "µs", "ms", "s", "min", "h")
_NUMBER: Final = r"[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?"
_QUANTITY: Final = re.compile(rf"(?<![\w.])({_NUMBER})\s*([A-Za-zµ]+)(?![\w(])")
_LITERAL: Final = re.compile(rf"[+-]?{_NUMBER}\s*[A-Za-zµ/%]*")
_WANTED: Final = {
    "any": "a number",
    "bytes": "a size such as '4 KiB'",
    "ns": "a duration such as '80 us'",
    "count": "a number",
}


def parse_expr(text: object, kind: Kind = "any") -> Expr:
    """The tree of an expression whose value is of that kind. Raises ValueError with what was expected.

    Constant parts are folded; `a and b`, `not a` and chained comparisons become comparisons with 0 and `&`.
    """
    if isinstance(text, (Num, Reg, BinOp, Call)):
        return text
    if isinstance(text, int) and not isinstance(text, bool):
        return _checked(_number(text), None, kind, str(text) if text.bit_length() < 100 else "")
    if not isinstance(text, str):
        raise ValueError(f"expected {_WANTED[kind]} or an expression, got {shown(text)}")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"an expression has at most {MAX_LENGTH} characters, got {len(text)}")
    stripped = text.strip()
    if kind in ("bytes", "ns") and _LITERAL.fullmatch(stripped) and not stripped.isdecimal():
        return _number(parse_bytes(stripped) if kind == "bytes" else parse_duration(stripped))
    reader = _Reader(stripped)
    tree = reader.tree()
    expr, unit = reader.read(tree.body, 0)
    return _checked(expr, unit, kind, stripped)


def _checked(expr: Expr, unit: str | None, kind: Kind, text: str) -> Expr:
    """The expression, if its unit is what the kind wants; a bare number is no duration."""
    if _depth(expr) > MAX_DEPTH:
        raise ValueError(f"an expression nests at most {MAX_DEPTH} deep")
    if kind == "ns" and isinstance(expr, Num) and unit is None and expr.value != 0:
        raise ValueError(f"a duration needs a unit ({', '.join(_TIME_UNITS)}), got {text}")
    if kind != "any" and unit is not None and unit != kind:
        measured = {"bytes": "a size", "ns": "a duration", "count": "a bare number"}
        raise ValueError(f"expected {_WANTED[kind]}, got {measured[unit]}: {text!r}")
    return expr


def _depth(expr: Expr) -> int:
    match expr:
        case BinOp(_, left, right):
            return 1 + max(_depth(left), _depth(right))
        case Call(_, args):
            return 1 + max(_depth(arg) for arg in args)
    return 0


def _number(value: int) -> Num:
    if not -(1 << 63) <= value < 1 << 64:
        raise ValueError(f"{shown(value)} does not fit in 64 bits")
    return Num(value)


class _Reader:
    """Turns one expression's text into a tree; `read` also gives the unit that a part is measured in, or None."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.quantities: list[tuple[int, str]] = []

    def tree(self) -> ast.Expression:
        if "__" in self.text:
            raise ValueError(f"{shown(self.text)} is not an expression: names don't contain '__'")
        marked = _QUANTITY.sub(self._mark, self.text)
        try:
            return ast.parse(marked.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ValueError(
                f"expected a number or an expression such as 'map + 16 KiB', got {shown(self.text)}"
            ) from None

    def _mark(self, match: re.Match[str]) -> str:
        number, unit = match.groups()
        if unit in _BYTE_UNITS:
            self.quantities.append((parse_bytes(f"{number} {unit}"), "bytes"))
        elif unit in _TIME_UNITS:
            self.quantities.append((parse_duration(f"{number} {unit}"), "ns"))
        elif (number == "0" and unit[0] in "xXoObB") or unit in ("and", "or", "if", "else"):
            return match.group(0)
        else:
            raise ValueError(unknown_name("unit", unit, (*_BYTE_UNITS, *_TIME_UNITS)))
        return f" __{len(self.quantities) - 1} "

    def read(self, node: ast.expr, depth: int) -> tuple[Expr, str | None]:
        if depth > MAX_DEPTH:
            raise ValueError(f"an expression nests at most {MAX_DEPTH} deep")
        match node:
            case ast.Constant(value=int(value)) if not isinstance(value, bool):
                return _number(value), None
            case ast.Constant(value=float(value)):
                raise ValueError(f"numbers are whole, got {value}")
            case ast.Name(id=name):
                return self._name(name)
            case ast.UnaryOp():
                return self._unary(node, depth)
            case ast.BinOp(op=ast.Div()):
                raise ValueError(f"division is written //, got {self.text!r}")
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _SYMBOLS:
                return _joined(_SYMBOLS[type(operator)], self.read(left, depth + 1), self.read(right, depth + 1))
            case ast.Compare(comparators=parts) | ast.BoolOp(values=parts) | ast.Call(args=parts, keywords=[]) if (
                len(parts) <= MAX_DEPTH
            ):
                return self._several(node, depth)
        raise ValueError(
            f"{self.text!r} is more than an expression may be: registers, numbers, + - * // % & | ^ ~ << >> and calls"
        )

    def _name(self, name: str) -> tuple[Expr, str | None]:
        if name.startswith("__"):
            value, unit = self.quantities[int(name[2:])]
            return _number(value), unit
        return Reg(check_register(name) if name != PAGE_SIZE else name), "bytes" if name == PAGE_SIZE else None

    def _unary(self, node: ast.UnaryOp, depth: int) -> tuple[Expr, str | None]:
        expr, unit = self.read(node.operand, depth + 1)
        match node.op:
            case ast.USub():
                return fold("-", Num(0), expr), unit
            case ast.Invert():
                return fold("^", expr, Num(-1)), unit
            case ast.Not():
                return fold("==", expr, Num(0)), None
        return expr, unit

    def _several(self, node: ast.expr, depth: int) -> tuple[Expr, str | None]:
        match node:
            case ast.Compare():
                return self._compare(node, depth), None
            case ast.BoolOp():
                return self._bool(node, depth), None
            case ast.Call(func=ast.Name(id=name), args=args):
                return self._call(name, [self.read(arg, depth + 1) for arg in args])
        raise ValueError(f"{self.text!r} calls something that is no function (known: {', '.join(FUNCTIONS)})")

    def _compare(self, node: ast.Compare, depth: int) -> Expr:
        terms = [self.read(term, depth + 1) for term in (node.left, *node.comparators)]
        result: Expr | None = None
        for operator, left, right in zip(node.ops, terms, terms[1:], strict=False):
            if type(operator) not in _SYMBOLS:
                raise ValueError(f"numbers are compared with == != < <= > >=, got {self.text!r}")
            step = _joined(_SYMBOLS[type(operator)], left, right)[0]
            result = step if result is None else fold("&", result, step)
        assert result is not None
        return result

    def _bool(self, node: ast.BoolOp, depth: int) -> Expr:
        terms = [fold("!=", self.read(term, depth + 1)[0], Num(0)) for term in node.values]
        result = terms[0]
        for term in terms[1:]:
            result = fold("&" if isinstance(node.op, ast.And) else "|", result, term)
        return result

    def _call(self, name: str, args: list[tuple[Expr, str | None]]) -> tuple[Expr, str | None]:
        if name not in FUNCTIONS:
            raise ValueError(unknown_name("function", name, FUNCTIONS))
        if name == "page":
            if len(args) != 1:
                raise ValueError(f"page(x) takes one value, got {len(args)}")
            return Call("page", (args[0][0],)), args[0][1]
        if len(args) < 2:
            raise ValueError(f"{name}(a, b) takes two values or more, got {len(args)}")
        expr, unit = args[0]
        for other, other_unit in args[1:]:
            unit = _same_unit(name, unit, other_unit)
            expr = _extreme(name, expr, other)
        return expr, unit


def _extreme(name: str, left: Expr, right: Expr) -> Expr:
    if isinstance(left, Num) and isinstance(right, Num):
        return Num(min(left.value, right.value) if name == "min" else max(left.value, right.value))
    return Call(name, (left, right))


def _joined(op: str, left: tuple[Expr, str | None], right: tuple[Expr, str | None]) -> tuple[Expr, str | None]:
    """Two parts under an operator, with the unit of the result."""
    expr = fold(op, left[0], right[0])
    if op == "*":
        return expr, left[1] or right[1] if None in (left[1], right[1]) else None
    if op in ("<<", ">>"):
        return expr, left[1]
    if op == "//":
        return expr, "count" if left[1] and left[1] == right[1] else left[1]
    unit = _same_unit(op, left[1], right[1])
    return expr, unit if op in ("+", "-", "%", "&", "|", "^") else None


def _same_unit(op: str, left: str | None, right: str | None) -> str | None:
    if left and right and left != right and "count" not in (left, right):
        raise ValueError(f"{op} of a size and a duration")
    return left or right


def fold(op: str, left: Expr, right: Expr) -> Expr:
    """`left op right`, computed if both are constants. Raises ValueError for what has no 64-bit value."""
    if isinstance(left, Num) and isinstance(right, Num):
        return _number(OPERATORS[op](left.value, right.value))
    return BinOp(op, left, right)


def check_register(name: object) -> str:
    """The name, if it can be a register's. Raises ValueError."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name) or "__" in name:
        raise ValueError(f"expected a register name such as 'map' (letters, digits, single _), got {shown(name)}")
    if name in RESERVED:
        raise ValueError(f"{name!r} has a meaning of its own and can't be a register")
    return name


def registers(expr: Expr) -> Iterator[str]:
    """The registers that an expression reads, in order, without PAGE_SIZE."""
    match expr:
        case Reg(name):
            if name != PAGE_SIZE:
                yield name
        case BinOp(_, left, right):
            yield from registers(left)
            yield from registers(right)
        case Call(_, args):
            for arg in args:
                yield from registers(arg)


def evaluate(expr: Expr, values: Mapping[str, int], page_size: int) -> int:
    """The value of an expression, wrapped to signed 64 bits; `values` by register. Raises KeyError, ValueError."""
    match expr:
        case Num(value):
            return _wrapped(value)
        case Reg(name):
            return page_size if name == PAGE_SIZE else _wrapped(values[name])
        case BinOp(op, left, right):
            return _wrapped(OPERATORS[op](evaluate(left, values, page_size), evaluate(right, values, page_size)))
        case Call(name, args):
            numbers = [evaluate(arg, values, page_size) for arg in args]
            if name == "page":
                return numbers[0] & -page_size
            return min(numbers) if name == "min" else max(numbers)


def _wrapped(value: int) -> int:
    return ((value + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)


def format_expr(expr: Expr) -> str | int:
    """The text of an expression, every part in parentheses; a constant stays a number. `parse_expr` reads it back."""
    match expr:
        case Num(value):
            return value
        case Reg(name):
            return name
        case BinOp(op, left, right):
            return f"({format_expr(left)} {op} {format_expr(right)})"
        case Call(name, args):
            return f"{name}({', '.join(str(format_expr(arg)) for arg in args)})"
