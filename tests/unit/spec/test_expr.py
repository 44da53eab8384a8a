"""Expressions: Python itself is the oracle for values, the notation's own rules for units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmsim.spec.expr import (
    FUNCTIONS,
    OPERATORS,
    BinOp,
    Call,
    Expr,
    Num,
    Reg,
    evaluate,
    format_expr,
    parse_expr,
    registers,
)

PAGE = 4096


def wrapped(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


def _wrapping(name: str) -> Callable[..., Any]:
    operation = getattr(int, name)

    def apply(*operands: int) -> Any:
        if "shift" in name and not 0 <= operands[-1 if not name.startswith("__r") else 0] < 64:
            raise ValueError("shift")
        result = operation(*(wrapped(int(operand)) for operand in operands))
        return result if isinstance(result, bool) else Int64(wrapped(result))

    return apply


class Int64(int):
    """Python's integer with the arithmetic of a 64-bit register: the oracle."""

    __hash__ = int.__hash__


_BINARY = ("add", "sub", "mul", "floordiv", "mod", "and", "or", "xor", "lshift", "rshift")
for _name in (*_BINARY, *(f"r{name}" for name in _BINARY), "eq", "ne", "lt", "le", "gt", "ge", "neg", "invert"):
    setattr(Int64, f"__{_name}__", _wrapping(f"__{_name}__"))

Texts = tuple[str, str]  # an expression, and the same for Python


def _binary(parts: tuple[Texts, str, Texts]) -> Texts:
    (left, python_left), op, (right, python_right) = parts
    if op in ("and", "or"):
        return f"({left} {op} {right})", f"int(bool({python_left}) {op} bool({python_right}))"
    return f"({left} {op} {right})", f"({python_left} {op} {python_right})"


def _call(parts: tuple[str, Texts, Texts]) -> Texts:
    name, (left, python_left), (right, python_right) = parts
    return f"{name}({left}, {right})", f"{name}({python_left}, {python_right})"


texts = st.recursive(
    st.one_of(st.integers(0, 2**40).map(str), st.sampled_from(["a", "b", "PAGE_SIZE"])).map(lambda text: (text, text)),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([*OPERATORS, "and", "or"]), inner).map(_binary),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(_call),
        inner.map(lambda e: (f"-{e[0]}", f"-{e[1]}")),
        inner.map(lambda e: (f"~{e[0]}", f"~{e[1]}")),
        inner.map(lambda e: (f"(not {e[0]})", f"int(not {e[1]})")),
        inner.map(lambda e: (f"page({e[0]})", f"(Int64({e[1]}) & -PAGE_SIZE)")),
    ),
    max_leaves=6,
)
expressions = texts.map(lambda pair: pair[0])


@given(texts, st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_value_is_pythons_in_64_bits(pair: Texts, a: int, b: int) -> None:
    names = {"a": Int64(a), "b": Int64(b), "PAGE_SIZE": Int64(PAGE), "Int64": Int64}
    try:
        value = evaluate(parse_expr(pair[0]), {"a": a, "b": b}, PAGE)
    except ValueError:  # a division by zero, a shift too far, a constant part beyond 64 bits
        return
    assert value == wrapped(int(eval(pair[1], names)))


@given(expressions)
def test_text_of_an_expression_reads_back_unchanged(text: str) -> None:
    try:
        expr = parse_expr(text)
    except ValueError:
        return
    assert parse_expr(format_expr(expr)) == expr
    assert set(registers(expr)) <= {"a", "b"}


@given(expressions)
def test_trees_use_only_the_documented_nodes(text: str) -> None:
    try:
        expr = parse_expr(text)
    except ValueError:
        return
    _check(expr)


def _check(expr: Expr) -> None:
    match expr:
        case BinOp(op, left, right):
            assert op in OPERATORS
            assert not (isinstance(left, Num) and isinstance(right, Num)), "constants are folded"
            _check(left)
            _check(right)
        case Call(name, args):
            assert name in FUNCTIONS
            assert len(args) == (1 if name == "page" else 2)
            for arg in args:
                _check(arg)
        case _:
            assert isinstance(expr, (Num, Reg))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("map + 16 KiB", BinOp("+", Reg("map"), Num(16384))),
        ("5 GiB // PAGE_SIZE", BinOp("//", Num(5 << 30), Reg("PAGE_SIZE"))),
        ("1.5 MiB", Num(3 << 19)),
        ("0x1000", Num(4096)),
        ("1_000", Num(1000)),
        ("min(a, b, 2)", Call("min", (Call("min", (Reg("a"), Reg("b"))), Num(2)))),
        ("page(si_addr)", Call("page", (Reg("si_addr"),))),
        ("~0", Num(-1)),
        ("page(page) + min", BinOp("+", Call("page", (Reg("page"),)), Reg("min"))),
        ("min(3 min, a)", Call("min", (Num(180 * 10**9), Reg("a")))),
        ("18446744073709551615", Num(2**64 - 1)),
        (7, Num(7)),
    ],
)
def test_what_it_reads(text: object, expected: Expr) -> None:
    assert parse_expr(text) == expected


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("5 GiB", "bytes", 5 << 30), (4096, "bytes", 4096), ("80 us", "ns", 80_000), (0, "ns", 0), ("0", "ns", 0),
        ("15_000_000", "count", 15_000_000), ("5 GiB // 4 KiB", "count", 1_310_720), ("2 * 5 us", "ns", 10_000),
    ],
)  # fmt: skip
def test_kinds(text: object, kind: str, value: int) -> None:
    assert parse_expr(text, kind) == Num(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (5, "ns", "a duration needs a unit"),
        ("5", "ns", "a duration needs a unit"),
        ("5 us", "bytes", "us is not a unit of a size"),
        ("5 GiB", "ns", "GiB is not a unit of a duration"),
        ("5 GiB", "count", "expected a number, got a size"),
        ("map + 5 us", "bytes", "expected a size such as '4 KiB', got a duration"),
        ("5 us + 4 KiB", "any", "+ of a size and a duration"),
        ("5 Gib", "any", "did you mean 'GiB'"),
        ("map +", "any", "expected a number or an expression"),
        ("a / 2", "any", "division is written //"),
        ("2 ** 3", "any", "more than an expression may be"),
        ("f(1)", "any", "no function 'f'"),
        ("lambda", "any", "expected a number or an expression"),
        ("page(1, 2)", "any", "page(x) takes one value"),
        ("min(1)", "any", "takes two values or more"),
        ("1e3", "any", "numbers are whole"),
        ("1 // 0", "any", "a division by zero"),
        ("1 << 64", "any", "a shift by 64 bits"),
        ("1 << 63 << 1", "any", "does not fit in 64 bits"),
        pytest.param(1 << 50000, "any", "does not fit in 64 bits", id="huge"),
        ("9" * 999, "any", "does not fit in 64 bits"),
        ("a" * 1001, "any", "at most 1000 characters"),
        ("~" * 300 + "1", "any", "nests at most 50 deep"),
        ("(" * 400 + "1" + ")" * 400, "any", "expected a number or an expression"),
        ("a.b", "any", "more than an expression may be"),
        ("a[0]", "any", "more than an expression may be"),
        ("__import__('os')", "any", "names don't contain '__'"),
        ("'x'", "any", "more than an expression may be"),
        (True, "any", "got true"),
        (None, "any", "got nothing"),
        ([], "bytes", "got a list"),
        ("", "any", "expected a number or an expression"),
    ],
)
def test_what_it_refuses(text: object, kind: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_expr(text, kind)  # type: ignore[arg-type]
    assert message in str(error.value)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for kind in ("any", "bytes", "ns", "count"):
        try:
            parse_expr(text, kind)  # type: ignore[arg-type]
        except ValueError as error:
            assert str(error)
