"""The four streams of the generator against the plain recurrence over Python's integers."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scenario import mmap, start

from vmsim.struct.jit import entry
from vmsim.struct.tasks import ACCESS_BURST
from vmsim.workload.generator import draw_uniform

MASK = (1 << 64) - 1


@entry
def draw(k, x, pages, origin, count):
    return draw_uniform(x, pages, origin, k.abuf[1], 0, count)


def plain(x: int, pages: int, origin: int, count: int) -> tuple[int, list[int]]:
    out = []
    for _ in range(count):
        x ^= x << 13 & MASK
        x ^= x >> 7
        x ^= x << 17 & MASK
        out.append(origin + 2 * ((x >> 32) * pages >> 32))
    return x, out


@given(st.integers(1, MASK), st.integers(1, (1 << 31) - 1), st.integers(ACCESS_BURST - 2, ACCESS_BURST + 2))
@example(1, 1, ACCESS_BURST)
@example(MASK, (1 << 31) - 1, ACCESS_BURST)
@settings(max_examples=60, deadline=None)
def test_a_burst_is_the_recurrence(x: int, pages: int, count: int) -> None:
    built = start([mmap(4096)])
    kernel = built.kernel
    kernel.abuf[1] = 0
    state = draw(kernel.k, int(np.int64(np.uint64(x))), pages, 1 << 30, count)
    after, expected = plain(x, pages, 1 << 30, count)
    assert kernel.abuf[1, :count].tolist() == expected
    assert int(state) & MASK == after
    assert not kernel.abuf[1, count:].any()
