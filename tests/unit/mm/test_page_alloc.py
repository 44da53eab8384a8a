"""Handing out and taking back frames."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from vmsim.mm import page_alloc, page_alloc_slow
from vmsim.mm.boot import add_zone
from vmsim.struct.jit import entry
from vmsim.struct.kernel import SC_NR_FRAMES, Kernel, table_rows
from vmsim.struct.pages import P_FLAGS, P_INDEX, PG_INUSE, Z_FREE
from vmsim.struct.vmstat import NR_FREE_PAGES, PGALLOC_DMA, PGFREE

ZONES = (
    (1, 11, 10),
    (11, 41, 25),
)  # first frame, one past the last, managed: the lowest five of the second are the kernel's
ALL = [*range(1, 11), *range(16, 41)]


@entry
def alloc(k):
    return page_alloc_slow.alloc_page(k)


@entry
def free(k, pfn):
    page_alloc.free_page(k, pfn)


@entry
def zone_of(k, pfn):
    return page_alloc.zone_of(k, pfn)


def make_kernel() -> Kernel:
    kernel = Kernel(table_rows(frames=41, cpus=1, tasks=1, pcache=1, code=1, patterns=1, pattern_table=1))
    kernel.sc[SC_NR_FRAMES] = 41
    for start, end, managed in ZONES:
        add_zone(kernel.k, start, end, managed)
    return kernel


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.one_of(st.none(), st.none(), st.integers(0, 50)), max_size=120))
def test_frames_are_conserved(steps: list[int | None]) -> None:
    """Any allocations (None) and frees (of the n-th frame held): no frame twice, none lost, each clear when handed
    out.
    """
    kernel = make_kernel()
    held: list[int] = []
    freed = 0
    for step in steps:
        if step is None:
            pfn = int(alloc(kernel.k))
            if len(held) == len(ALL):
                assert pfn == 0
                continue
            assert pfn in ALL
            assert pfn not in held
            assert kernel.frame[pfn].tolist() == [
                PG_INUSE if column == P_FLAGS else 0 for column in range(kernel.frame.shape[1])
            ]
            kernel.frame[pfn, P_INDEX] = 99
            held.append(pfn)
        elif held:
            pfn = held.pop(step % len(held))
            free(kernel.k, pfn)
            assert not kernel.frame[pfn].any()
            freed += 1
        assert kernel.vmstat[NR_FREE_PAGES] == len(ALL) - len(held)
        for zone, (start, end, managed) in enumerate(ZONES):
            assert kernel.zone[zone, Z_FREE] == managed - sum(start <= pfn < end for pfn in held)
        assert kernel.vmstat[PGALLOC_DMA : PGALLOC_DMA + 2].sum() - kernel.vmstat[PGFREE] == len(held)
        assert kernel.vmstat[PGFREE] == freed


def test_the_highest_zone_is_tried_first() -> None:
    """C.3: the zonelist goes from the highest zone down; the low zone is used when the high one is empty."""
    kernel = make_kernel()
    order = [int(alloc(kernel.k)) for _ in range(len(ALL) + 1)]
    assert sorted(order[:25]) == list(range(16, 41))
    assert sorted(order[25:-1]) == list(range(1, 11))
    assert order[-1] == 0


def test_a_freed_frame_is_taken_first() -> None:
    """C.1: a frame freed goes to the hot end of the list that the next allocation takes from."""
    kernel = make_kernel()
    frames = [int(alloc(kernel.k)) for _ in range(5)]
    for pfn in (frames[1], frames[3]):
        free(kernel.k, pfn)
    assert [int(alloc(kernel.k)) for _ in range(2)] == [frames[3], frames[1]]


def test_zones_by_frame() -> None:
    kernel = make_kernel()
    assert [int(zone_of(kernel.k, pfn)) for pfn in (1, 10, 11, 40)] == [0, 0, 1, 1]
