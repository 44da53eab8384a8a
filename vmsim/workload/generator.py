"""The xorshift64 generator of the access patterns, one number at a time or four far apart at once.

Each number is made from the one before it, six operations in a row, which is longer than a TLB hit takes to simulate.
The generator is linear over GF(2), so the state a fixed distance ahead is a sum of some of the next 64 states: four
streams, each a quarter of a burst after the other, give the numbers of the burst without waiting for one another.
"""

from __future__ import annotations

from vmsim.struct.bits import MASK64, SIGN64
from vmsim.struct.jit import compiled
from vmsim.struct.tasks import ACCESS_BURST

_LOW57 = (1 << 57) - 1
_LOW32 = (1 << 32) - 1
QUARTER = ACCESS_BURST // 4


@compiled
def xorshift64(x):
    """The next state, which is also the next number drawn (as unsigned 64 bits).   Marsaglia 2003: shifts 13, 7, 17."""
    x ^= x << 13
    x ^= (x >> 7) & _LOW57
    return x ^ (x << 17)


def _states(steps: int) -> list[int]:
    """So many states from 1 on."""
    states = [1]
    while len(states) < steps:
        x = states[-1]
        x ^= x << 13 & MASK64
        x ^= x >> 7
        states.append(x ^ x << 17 & MASK64)
    return states


def _sum_for(distance: int) -> int:
    """Which of the 64 states from any one on add up to the state `distance` steps ahead: one bit each, as an int64.

    The states 0..63 from 1 on are linearly independent (the generator's period is 2**64 - 1), so Gaussian elimination
    finds the only sum of them that is the state of step `distance`; linearity makes it hold from every other state too.
    """
    states = _states(max(distance + 1, 64))
    reduced: dict[int, tuple[int, int]] = {}  # by highest bit: a sum of states, and of which

    def reduce(state: int, members: int) -> tuple[int, int]:
        while state and state.bit_length() in reduced:
            other, others = reduced[state.bit_length()]
            state, members = state ^ other, members ^ others
        return state, members

    for step in range(64):
        state, members = reduce(states[step], 1 << step)
        reduced[state.bit_length()] = state, members
    _, members = reduce(states[distance], 0)
    return members - (1 << 64) if members & SIGN64 else members


_AHEAD_1, _AHEAD_2, _AHEAD_3 = _sum_for(QUARTER), _sum_for(2 * QUARTER), _sum_for(3 * QUARTER)


@compiled
def scaled(x, n):
    """The high half of the number drawn, times n < 2**31, divided by 2**32: a number in [0, n)."""
    return (((x >> 32) & _LOW32) * n) >> 32


@compiled
def draw_uniform(x, pages, origin, out, first, count):
    """Put `count` accesses to uniformly drawn pages into out[first:], each ``origin + 2 * page``: the generator's state after it.

    `pages` < 2**31; a page is the high half of the number drawn, times `pages`, divided by 2**32.
    """
    done = 0
    if count == 4 * QUARTER:
        ahead, x1, x2, x3 = x, 0, 0, 0
        for step in range(64):
            x1 ^= ahead & -((_AHEAD_1 >> step) & 1)
            x2 ^= ahead & -((_AHEAD_2 >> step) & 1)
            x3 ^= ahead & -((_AHEAD_3 >> step) & 1)
            ahead = xorshift64(ahead)
        for i in range(first, first + QUARTER):
            x, x1, x2, x3 = xorshift64(x), xorshift64(x1), xorshift64(x2), xorshift64(x3)
            out[i] = origin + 2 * scaled(x, pages)
            out[i + QUARTER] = origin + 2 * scaled(x1, pages)
            out[i + 2 * QUARTER] = origin + 2 * scaled(x2, pages)
            out[i + 3 * QUARTER] = origin + 2 * scaled(x3, pages)
        x = x3
        done = count
    for i in range(first + done, first + count):
        x = xorshift64(x)
        out[i] = origin + 2 * scaled(x, pages)
    return x
