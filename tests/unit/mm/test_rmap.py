"""Chains of reverse mappings, against a dict of lists."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from vmsim.mm import rmap
from vmsim.struct.jit import entry
from vmsim.struct.kernel import SC_CHAIN_FREE, SC_CHAIN_NEXT, Kernel, table_rows
from vmsim.struct.pages import P_FLAGS, P_MAPCOUNT, P_RMAP, PG_ANON, RMAP_SHIFT
from vmsim.struct.vmstat import NR_ANON_PAGES, NR_FILE_MAPPED

ANON_PFN = 1  # of the frames 1 to 3
LAST_VPN = (1 << RMAP_SHIFT) - 1


@entry
def add(k, pfn, mm, vpn):
    rmap.page_add_rmap(k, pfn, mm, vpn)


@entry
def remove(k, pfn, mm, vpn):
    return rmap.page_remove_rmap(k, pfn, mm, vpn)


@entry
def move(k, pfn, mm, vpn, to):
    rmap.page_move_rmap(k, pfn, mm, vpn, to)


@entry
def first(k, pfn):
    return rmap.rmap_first(k, pfn)


@entry
def mapping_at(k, pfn, cursor):
    return rmap.rmap_mapping(k, pfn, cursor)


@entry
def following(k, cursor):
    return rmap.rmap_next(k, cursor)


def mappings(kernel: Kernel, pfn: int) -> list[tuple[int, int]]:
    """(mm, vpn) of all mappings of a frame, by walking with the cursor."""
    found = []
    cursor = first(kernel.k, pfn)
    while cursor:
        packed = int(mapping_at(kernel.k, pfn, cursor))
        found.append((packed >> RMAP_SHIFT, packed & LAST_VPN))
        cursor = following(kernel.k, cursor)
    return found


_vpn = st.sampled_from([0, 1, 2, 3, LAST_VPN])
_steps = st.lists(
    st.tuples(st.sampled_from(["map", "map", "unmap", "move"]), st.integers(1, 3), st.integers(1, 3), _vpn, _vpn),
    max_size=50,
)


@settings(max_examples=60, deadline=None)
@given(steps=_steps)
def test_against_a_dict(steps: list[tuple[str, int, int, int, int]]) -> None:
    """After any mapping, unmapping and moving of entries a frame's chain holds exactly these; freed links are used
    again.
    """
    kernel = Kernel(table_rows(frames=8, cpus=1, tasks=1, pcache=1, code=1, patterns=1, pattern_table=1))
    kernel.frame[ANON_PFN, P_FLAGS] = PG_ANON
    twin: dict[int, set[tuple[int, int]]] = {1: set(), 2: set(), 3: set()}
    links = 0
    for what, pfn, mm, vpn, to in steps:
        mapped = (mm, vpn) in twin[pfn]
        if what == "map" and not mapped:
            add(kernel.k, pfn, mm, vpn)
            twin[pfn].add((mm, vpn))
        elif what == "unmap" and mapped:
            twin[pfn].remove((mm, vpn))
            assert remove(kernel.k, pfn, mm, vpn) == len(twin[pfn])
        elif what == "move" and mapped and (mm, to) not in twin[pfn]:
            move(kernel.k, pfn, mm, vpn, to)
            twin[pfn] ^= {(mm, vpn), (mm, to)}
        for frame, expected in twin.items():
            assert sorted(mappings(kernel, frame)) == sorted(expected)
            assert kernel.frame[frame, P_MAPCOUNT] == len(expected)
        assert kernel.vmstat[NR_ANON_PAGES] == bool(twin[ANON_PFN])
        assert kernel.vmstat[NR_FILE_MAPPED] == sum(bool(twin[pfn]) for pfn in twin if pfn != ANON_PFN)
        links = max(links, sum(len(m) for m in twin.values() if len(m) > 1))
    assert kernel.sc[SC_CHAIN_NEXT] <= links + 1  # one more while a link is exchanged
    for pfn, expected in twin.items():
        for mm, vpn in expected:
            remove(kernel.k, pfn, mm, vpn)
        assert kernel.frame[pfn, P_RMAP] == 0
    assert _free_links(kernel) == kernel.sc[SC_CHAIN_NEXT]


def _free_links(kernel: Kernel) -> int:
    seen: set[int] = set()
    link = int(kernel.sc[SC_CHAIN_FREE])
    while link:
        assert link not in seen
        seen.add(link)
        link = int(kernel.chain[link, rmap.CH_NEXT])
    return len(seen)
