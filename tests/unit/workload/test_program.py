"""Programs: control steps, expressions, handlers; what they compute against Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenario import PAGE, mmap, phase, run

from vmsim.errors import VmsimError
from vmsim.spec.expr import OPERATORS, BinOp, Call, Expr, Num, Reg, evaluate

EDGES = [0, 1, -1, 2, 63, 64, 4095, 4096, 4097, -4096, (1 << 62), (1 << 63) - 1, -(1 << 63), -(1 << 63) + 1]
VARS = {"a": 12345, "b": -7, "c": (1 << 63) - 1, "d": -(1 << 63), "e": 0, "z": 3}

_number = st.one_of(st.sampled_from(EDGES), st.integers(-100, 100), st.integers(-(1 << 63), (1 << 63) - 1))
_leaf = st.one_of(st.builds(Num, _number), st.builds(Reg, st.sampled_from([*VARS, "PAGE_SIZE"])))
_shift = st.builds(BinOp, st.sampled_from(["<<", ">>"]), _leaf, st.builds(Num, st.integers(0, 63)))
_expr: st.SearchStrategy[Expr] = st.recursive(
    st.one_of(_leaf, _shift),
    lambda inner: st.one_of(
        st.builds(BinOp, st.sampled_from(sorted(set(OPERATORS) - {"<<", ">>"})), inner, inner),
        st.builds(lambda name, a, b: Call(name, (a, b)), st.sampled_from(["min", "max"]), inner, inner),
        st.builds(lambda a: Call("page", (a,)), inner),
    ),
    max_leaves=8,
)


def value_of(expr: Expr) -> int | None:
    """The value by `evaluate`, None where it has none (a division by zero)."""
    try:
        return evaluate(expr, VARS, PAGE)
    except ValueError:
        return None


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # int64 wraps, as the machine's registers do
@settings(max_examples=40, deadline=None)
@given(exprs=st.lists(_expr, min_size=1, max_size=12))
def test_expressions_as_the_spec_evaluates_them(exprs: list[Expr]) -> None:
    """A program computes what `vmsim.spec.expr.evaluate` says, to the last of 64 bits."""
    expected = {f"r{i}": value for i, expr in enumerate(exprs) if (value := value_of(expr)) is not None}
    steps = [{"set": {name: exprs[int(name[1:])]}} for name in expected]
    outcome = run(steps, vars=VARS, image="none", ram="16 MiB")
    assert {name: outcome.register(name) for name in expected} == expected


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize(("operator", "value"), [("//", -(1 << 63)), ("%", 0)])
def test_the_one_division_that_overflows(operator: str, value: int) -> None:
    """-2^63 by -1 wraps like all other arithmetic, compiled or not."""
    outcome = run([{"set": {"x": f"d {operator} m"}}], vars={"d": -(1 << 63), "m": -1}, image="none", ram="16 MiB")
    assert outcome.register("x") == value


@pytest.mark.parametrize("operator", ["//", "%"])
def test_division_by_zero_gives_zero(operator: str) -> None:
    """A program can't check each divisor: x // 0 and x % 0 are 0, and it goes on."""
    outcome = run([{"set": {"x": f"5 {operator} e"}}, {"set": {"y": 1}}], vars={"e": 0}, image="none", ram="16 MiB")
    assert (outcome.register("x"), outcome.register("y")) == (0, 1)


def registers(steps: list[Mapping[str, Any]], *names: str, **variables: int) -> tuple[int, ...]:
    outcome = run(steps, vars=variables, image="none", ram="16 MiB")
    assert outcome.exit() == "done"
    return tuple(outcome.register(name) for name in names)


@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_loops(count: int) -> None:
    """A loop's body runs `count` times, its index goes from 0 up, and a register as count is read once."""
    body = [{"set": {"sum": "sum + i", "times": "times + 1", "n": 3}}]
    found = registers([{"loop": {"count": "n", "as": "i", "steps": body}}], "sum", "times", n=count, sum=0, times=0)
    assert found == (sum(range(count)), count)


def test_nested_loops() -> None:
    inner = {"loop": {"count": "i", "as": "j", "steps": [{"set": {"s": "s + 10 * i + j"}}]}}
    expected = sum(10 * i + j for i in range(5) for j in range(i))
    assert registers([{"loop": {"count": 5, "as": "i", "steps": [inner]}}], "s", s=0) == (expected,)


@pytest.mark.parametrize(("cond", "branch"), [("0", 2), ("1", 1), ("-1", 1), ("x == 5", 1), ("x > 5", 2), ("x - 5", 2)])
def test_if(cond: str, branch: int) -> None:
    step = {"if": {"cond": cond, "then": [{"set": {"y": 1}}], "else": [{"set": {"y": 2}}]}}
    assert registers([step], "y", x=5) == (branch,)


def test_if_without_else() -> None:
    step = {"if": {"cond": "x", "then": [{"set": {"y": "y + 1"}}]}}
    assert registers([step, {"set": {"x": 1}}, step], "y", x=0, y=0) == (1,)


def test_exit_ends_the_program() -> None:
    assert registers([{"set": {"y": 1}}, {"exit": {}}, {"set": {"y": 2}}], "y", y=0) == (1,)


def test_set_goes_from_left_to_right() -> None:
    assert registers([{"set": {"x": "y", "y": "x"}}], "x", "y", x=1, y=2) == (2, 2)


def test_results_of_system_calls() -> None:
    """A register gets the address, or the negative errno of an error that is expected."""
    steps = [mmap(PAGE), {"munmap": {"addr": "m + 1", "length": PAGE, "as": "r", "expect": "EINVAL"}}]
    address, error = registers(steps, "m", "r")
    assert address > 0
    assert address % PAGE == 0
    assert error == -22


@pytest.mark.parametrize(("expect", "end"), [("ok", "munmap: EINVAL"), ("any", "done"), ("EINVAL", "done"), ("ENOMEM", "munmap: EINVAL")])
def test_expectations(expect: str, end: str) -> None:
    """ok and another errno's name end the program at the call that fails otherwise; any and the right name don't."""
    step = {"munmap": {"addr": 1, "length": PAGE, "expect": expect}}
    assert run([step], image="none", ram="16 MiB").exit() == end


def test_a_call_that_succeeds_where_an_error_is_expected() -> None:
    outcome = run([mmap(PAGE, expect="ENOMEM"), {"set": {"x": 1}}], vars={"x": 0}, image="none", ram="16 MiB")
    assert outcome.register("x") == 0


def test_handlers_see_the_address_and_can_be_replaced() -> None:
    """The handler installed last runs, with the page's address; it may use and change any register."""

    def handler(add: int) -> dict[str, Any]:
        steps = [
            {"set": {"seen": "at - m", "runs": f"runs + {add}"}},
            {"mprotect": {"addr": "at", "length": PAGE, "prot": ["PROT_READ"]}},
        ]
        return {"on_signal": {"signal": "SIGSEGV", "as": "at", "steps": steps}}

    touch = [{"touch": {"addr": f"m + {page} * PAGE_SIZE + 5"}} for page in (2, 3)]
    steps = [mmap(8 * PAGE, prot=["PROT_NONE"]), handler(1), touch[0], handler(10), touch[1]]
    assert registers(steps, "seen", "runs", runs=0) == (3 * PAGE, 11)


def test_a_fault_inside_the_handler_kills() -> None:
    """The signal is blocked while its handler runs; raised by a fault then, it kills (kernel/signal.c:
    force_sig_info).
    """
    handler = {"on_signal": {"signal": "SIGSEGV", "steps": [{"touch": {"addr": 0}}]}}
    outcome = run([handler, {"touch": {"addr": 0}}], image="none", ram="16 MiB")
    assert outcome.exit() == "SIGSEGV"
    assert outcome.task(8) == 1


def test_phases_sum_their_passes() -> None:
    """A phase inside a loop: one result, its passes summed; the time between them is not in it."""
    steps = [{"loop": {"count": 5, "steps": [phase("work", {"compute": "3 us"}), {"compute": "10 us"}]}}]
    found = run(steps, image="none", ram="16 MiB").phase("work")
    assert (found.passes, found.elapsed_ns, found.ledger["user"]) == (5, 15_000, 15_000)


def test_patterns_of_one_name_share_their_position() -> None:
    def touch(count: int, name: str) -> dict[str, Any]:
        return {"draw": {"region": "m", "pattern": {"type": "sequential", "name": name}, "as": f"x{count}"}}

    found = registers([mmap(8 * PAGE), touch(0, "p"), touch(1, "p"), touch(2, "q")], "m", "x0", "x1", "x2")
    assert [x - found[0] for x in found[1:]] == [0, PAGE, 0]


def test_a_region_of_unknown_length_is_refused() -> None:
    step = {"access": {"region": 4096, "pattern": {"type": "uniform"}, "count": 1}}
    with pytest.raises(VmsimError, match="length"):
        run([step], image="none")
