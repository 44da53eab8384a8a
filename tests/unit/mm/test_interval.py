"""The index of VMAs by start page, against a sorted Python list."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from hypothesis import given, settings
from hypothesis import strategies as st

from vmsim.mm import interval
from vmsim.struct.jit import entry
from vmsim.struct.kernel import SC_INDEX_DEPTH, SC_INDEX_FREE, SC_INDEX_NEXT, Kernel, table_rows
from vmsim.struct.vmas import INDEX_COUNT, MM_INDEX

DEPTH = 4  # 40 bits of page number
LAST = (1 << 10 * DEPTH) - 1


@entry
def create(k, mm):
    interval.index_create(k, mm)


@entry
def insert(k, mm, vpn, vma):
    interval.index_insert(k, mm, vpn, vma)


@entry
def remove(k, mm, vpn):
    interval.index_remove(k, mm, vpn)


@entry
def replace(k, mm, vpn, vma):
    interval.index_replace(k, mm, vpn, vma)


@entry
def floor(k, mm, vpn):
    return interval.index_floor(k, mm, vpn)


@entry
def destroy(k, mm):
    interval.index_destroy(k, mm)


def make_kernel() -> Kernel:
    kernel = Kernel(table_rows(frames=64, cpus=1, tasks=1, pcache=1, code=1, patterns=1, pattern_table=1))
    kernel.sc[SC_INDEX_DEPTH] = DEPTH
    create(kernel.k, 1)
    return kernel


# Dense runs within a node, pages around the borders of nodes of each level, and anywhere.
_border = st.builds(
    lambda level, times, off: max(0, (times << 10 * level) + off),
    st.integers(1, 3),
    st.integers(0, 3),
    st.integers(-2, 2),
)
_vpn = st.one_of(st.integers(0, 100), _border, st.integers(0, LAST), st.sampled_from([0, LAST, LAST - 1]))
_steps = st.lists(st.tuples(st.sampled_from(["insert", "insert", "remove", "replace"]), _vpn), max_size=60)


@settings(max_examples=100, deadline=None)
@given(steps=_steps, asked=st.lists(_vpn, max_size=10))
def test_against_a_sorted_list(steps: list[tuple[str, int]], asked: list[int]) -> None:
    """After any inserts, removals and replacements the floor of any page is what bisection in a list gives."""
    kernel = make_kernel()
    starts: list[int] = []
    vmas: dict[int, int] = {}
    for number, (what, vpn) in enumerate(steps, start=1):
        if what == "insert" and vpn not in vmas:
            starts.insert(bisect_left(starts, vpn), vpn)
            vmas[vpn] = number
            insert(kernel.k, 1, vpn, number)
        elif starts and what != "insert":
            at = starts[bisect_left(starts, vpn) % len(starts)]
            if what == "remove":
                starts.remove(at)
                del vmas[at]
                remove(kernel.k, 1, at)
            else:
                vmas[at] = number
                replace(kernel.k, 1, at, number)
        for page in {vpn, max(vpn - 1, 0), vpn + 1, 0, LAST, *asked}:
            below = bisect_right(starts, page)
            assert floor(kernel.k, 1, page) == (vmas[starts[below - 1]] if below else 0), page


@settings(max_examples=30, deadline=None)
@given(vpns=st.sets(_vpn, max_size=40), order=st.randoms(use_true_random=False))
def test_nodes_are_given_back(vpns: set[int], order) -> None:
    """When all VMAs and the index are gone, every node is free, clear, and used again before a new one is taken."""
    kernel = make_kernel()
    for number, vpn in enumerate(vpns, start=1):
        insert(kernel.k, 1, vpn, number)
    rest = sorted(vpns)
    order.shuffle(rest)
    for vpn in rest:
        remove(kernel.k, 1, vpn)
    destroy(kernel.k, 1)
    assert kernel.mm[1, MM_INDEX] == 0
    free, node = [], int(kernel.sc[SC_INDEX_FREE])
    while node:
        free.append(node)
        node = int(kernel.vindex[node, INDEX_COUNT])
    nodes = int(kernel.sc[SC_INDEX_NEXT])
    assert sorted(free) == list(range(1, nodes + 1))
    assert not kernel.vchild[: nodes + 1].any()
    assert not kernel.vindex[: nodes + 1, :INDEX_COUNT].any()


def test_addresses_beyond_the_index() -> None:
    """A page number above what the index spans has the last VMA as its floor; a negative one has none."""
    kernel = make_kernel()
    insert(kernel.k, 1, LAST - 5, 7)
    assert floor(kernel.k, 1, LAST + 1) == 7
    assert floor(kernel.k, 1, 1 << 51) == 7
    assert floor(kernel.k, 1, -1) == 0
    assert floor(kernel.k, 1, LAST - 6) == 0
