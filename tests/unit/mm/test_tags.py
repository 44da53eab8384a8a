"""Tags of page-cache slots, against a Python set."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from vmsim.mm import tags
from vmsim.struct.jit import entry
from vmsim.struct.kernel import SC_PCACHE_ROWS, Kernel, table_rows

TAG = 1


@entry
def tag_set(k, tag, slot):
    tags.tag_set(k, tag, slot)


@entry
def tag_clear(k, tag, slot):
    tags.tag_clear(k, tag, slot)


@entry
def tag_next(k, tag, first, end):
    return tags.tag_next(k, tag, first, end)


KERNEL = Kernel(table_rows(frames=64, cpus=1, tasks=1, pcache=1 << 26, code=1, patterns=1, pattern_table=1))
ROWS = int(KERNEL.sc[SC_PCACHE_ROWS])  # so many that the top level has several words
_slot = st.one_of(
    st.integers(0, 200),
    st.builds(
        lambda level, times, off: min(max((times << 5 * level) + off, 0), ROWS - 1),
        st.integers(1, 5), st.integers(0, 3), st.integers(-2, 2),
    ),
    st.integers(0, ROWS - 1),
    st.just(ROWS - 1),
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(st.tuples(st.booleans(), _slot), max_size=40), asked=st.lists(st.tuples(_slot, _slot), max_size=8))
def test_against_a_set(steps: list[tuple[bool, int]], asked: list[tuple[int, int]]) -> None:
    """After any changes the next tagged slot in any range is what the set gives; other tags are not touched."""
    tagged: set[int] = set()
    try:
        for on, slot in steps:
            (tag_set if on else tag_clear)(KERNEL.k, TAG, slot)
            (tagged.add if on else tagged.discard)(slot)
        edges = [(slot, slot + 1) for slot in tagged] + [(slot + 1, ROWS) for slot in tagged if slot + 1 < ROWS]
        for first, end in [*asked, *edges, (0, ROWS)]:
            assert tag_next(KERNEL.k, TAG, first, end) == min((slot for slot in tagged if first <= slot < end), default=-1)
        assert tag_next(KERNEL.k, TAG + 1, 0, ROWS) == -1
    finally:
        for slot in tagged:
            tag_clear(KERNEL.k, TAG, slot)
    assert tag_next(KERNEL.k, TAG, 0, ROWS) == -1
