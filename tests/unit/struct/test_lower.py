"""Compiled functions do what the same lines do in Python: each is called both ways, over numbers of all signs."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from vmsim.struct.jit import JIT, compiled, entry

pytestmark = pytest.mark.skipif(not JIT, reason="needs compilation")

NUMBERS = (-(1 << 62), -65, -8, -7, -1, 0, 1, 2, 7, 8, 63, 1 << 40)
WEIGHTS = (3, 5, -7, 11)


@compiled
def divided(a, b):
    if b == 0:
        return 0
    return a // b * 3 + a % b


@compiled
def by_constants(a):
    return a // 8 + a % 8 * 3 + a // 7 * 5 + a % 7 * 7 + a // -3 * 11 + a % -3 * 13 + a // -1 + a % 1


@compiled
def bits(a, b):
    return (a & b) ^ (a | 12) + (~b << 3) - (a >> 2) + -b


@compiled
def conditions(a, b):
    score = 0
    if a < b <= 8:
        score += 1
    if not (a > 0 and b > 0) or a == b:
        score += 10
    score += 100 * (a or b) + 1000 * ((a and b) or 5)
    score += (a < 0) + bool(b) + int(a != b)
    return score if a >= b else -score


@compiled
def swapped(a, b):
    a, b = b, a
    low = high = min(a, b, 3)
    if b > a:
        high = max(b, a)
    return low, high


@compiled
def loops(a, b):
    total = last = 0
    for i in range(a % 9, -b % 11, 3):
        last = i
        if i == 4:
            continue
        total += i
    for i in range(10, a % 5, -2):
        total += i * 7
        i = 0
        if total > 300:
            break
    while True:
        total += 1
        if total % 5 == 0:
            break
    for weight in (a % 3, b % 4, 2):
        total += weight * 19
    steps = 0
    for i in range(0, 12, a % 3 + 1 if a % 2 == 0 else -1):
        steps += i
    return total * 100 + last + steps


@compiled
def pair_of(a, b):
    pair = swapped(a, b)
    low, high = pair
    for i in range(len_of_weights()):
        low += WEIGHTS[i] * high
    return low


@compiled
def len_of_weights():
    return 4


def _maker(offset: int) -> Any:
    @compiled
    def shifted(a):
        return a + offset

    return shifted


_by_two, _by_nine = _maker(2), _maker(9)


@compiled
def closures(a, b):
    return _by_two(a) * 3 + _by_nine(b)


@compiled
def quiet(a):
    if a > 3:
        return
    a += 1


def _undone(function: Any) -> Any:
    """The Python function, with Python's own functions below it."""
    plain = function.py_func
    names = {
        name: _undone(value) if hasattr(value, "py_func") else value
        for name, value in plain.__globals__.items()
        if name in plain.__code__.co_names
    }
    return type(plain)(plain.__code__, {**names, "__builtins__": __builtins__}, plain.__name__, None, plain.__closure__)


@entry
def call_divided(a, b):
    return divided(a, b)


@entry
def call_by_constants(a, b):
    return by_constants(a ^ b)


@entry
def call_bits(a, b):
    return bits(a, b)


@entry
def call_conditions(a, b):
    return conditions(a, b)


@entry
def call_swapped(a, b):
    quiet(a)
    return swapped(a, b)


@entry
def call_loops(a, b):
    return loops(a, b)


@entry
def call_pair_of(a, b):
    return pair_of(a, b)


@entry
def call_closures(a, b):
    return closures(a, b)


def _wrapped(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_wrapped(item) for item in value)
    return (int(value) + (1 << 63)) % (1 << 64) - (1 << 63)


CALLS = (call_divided, call_by_constants, call_bits, call_conditions, call_swapped, call_loops, call_pair_of, call_closures)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: str(call.__name__))
def test_compiled_as_python_does_it(call: Any) -> None:
    plain = _undone(call)
    for a, b in itertools.product(NUMBERS, NUMBERS):
        assert call(a, b) == _wrapped(plain(a, b)), (a, b)


@compiled
def divides_by_zero(a, b):
    return a // b, a % b


@entry
def call_divides_by_zero(a, b):
    return divides_by_zero(a, b)


def test_dividing_by_zero_or_past_the_range_gives_zero() -> None:
    """As NumPy's integers do, instead of the processor's trap."""
    assert call_divides_by_zero(5, 0) == (0, 0)
    assert call_divides_by_zero(-(1 << 63), -1) == (0, 0)


@compiled
def has_a_list(a):
    return [a][0]


@entry
def call_has_a_list(a):
    return has_a_list(a)


def test_what_is_not_compiled_is_named_with_its_line() -> None:
    line = has_a_list.py_func.__code__.co_firstlineno + 2
    with pytest.raises(TypeError, match=rf"test_lower\.py:{line}: in has_a_list: compiled code has no "):
        call_has_a_list(1)
