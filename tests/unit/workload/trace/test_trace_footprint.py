"""A trace as pages, and its regions packed into an arena."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vmsim.errors import VmsimError
from vmsim.units import GIB, MIB
from vmsim.workload.trace import FETCH, READ, WRITE, Footprint, open_trace, pages
from vmsim.workload.trace import footprint as footprint_module

Write = Callable[[bytes], Path]
Made = dict[str, Callable[[int], bytes]]


def all_of(path: Path, format: str | None = None, **options: object) -> tuple[list[int], list[int]]:
    """All pages and operations of a trace."""
    parts = list(pages(open_trace(path, format), **options))
    return np.concatenate([part for part, _ in parts]).tolist(), np.concatenate([op for _, op in parts]).tolist()


def test_an_access_touches_each_of_its_pages(write: Write) -> None:
    text = b"I  00000fff,1\nI  00000fff,2\n S 00002ffc,8\n M 00005000,4096\n L ffffffffffffffff,8\n"
    path = write(text)
    # A modify writes; the last access would wrap around the end of the address space.
    assert all_of(path) == ([0, 0, 1, 2, 3, 5, 2**52 - 1], [FETCH, FETCH, FETCH, WRITE, WRITE, WRITE, READ])
    assert all_of(path, page_size=1 << 16)[0] == [0, 0, 0, 0, 2**48 - 1]


def test_long_accesses_come_in_parts(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint_module, "_MOST_AT_ONCE", 10)
    path = write(b"".join(b"%d R %d\n" % (4096 * i, 4096 * (i % 5) + 1) for i in range(50)))
    parts = list(pages(open_trace(path)))
    assert max(len(part) for part, _ in parts) <= 15
    expected = [page for i in range(50) for page in range(i, i + i % 5 + 1)]
    assert np.concatenate([part for part, _ in parts]).tolist() == expected


def test_regions_lie_side_by_side_in_order(write: Write) -> None:
    # Code at 4 MiB, its neighbour region, a library far off, the stack farther off; a write at the end of the library's
    # region reaches into the next.
    text = b" L 7ffffffff000,8\nI  00400000,4\nI  00600010,4\n S 7f00001ffffc,8\n L 00401000,8\n"
    path = write(text)
    arena = Footprint.scan(open_trace(path))
    assert arena.regions.tolist() == [
        0x400000 >> 21,
        0x600000 >> 21,
        0x7F0000000000 >> 21,
        0x7F0000200000 >> 21,
        0x7FFFFFFFF000 >> 21,
    ]
    assert arena.arena_bytes == 5 * 2 * MIB
    touched, _ = all_of(path, footprint=arena)
    assert touched == [4 * 512 + 511, 0, 512, 2 * 512 + 511, 3 * 512, 1]
    original, _ = all_of(path)
    assert arena.trace_page(np.array(touched)).tolist() == original
    assert Footprint.scan(open_trace(path), region_bytes=GIB).arena_bytes == 3 * GIB


def test_a_long_access_has_all_its_regions(write: Write) -> None:
    arena = Footprint.scan(open_trace(write(b"4194304 R 16777216\n0 W\n")))
    assert arena.regions.tolist() == [0, *range(2, 10)]


def test_objects_are_pages_in_the_order_of_their_numbers(write: Write, made: Made) -> None:
    path = write(made["oracleGeneral"](25))
    arena = Footprint.scan(open_trace(path))
    assert arena.arena_pages == 10
    assert all_of(path, footprint=arena)[0] == [i % 10 for i in range(25)]


def test_every_format_fits_its_arena(write: Write, made: Made) -> None:
    for format in sorted(set(made) - {"strace"}):
        path = write(made[format](3000))
        arena = Footprint.scan(open_trace(path))
        touched = np.array(all_of(path, footprint=arena)[0])
        assert touched.min() >= 0
        assert touched.max() < arena.arena_pages
        shift = 0 if open_trace(path).addressing == "objects" else 9
        assert set((touched >> shift).tolist()) == set(range(len(arena.regions)))


def test_what_can_not_be(write: Write, made: Made) -> None:
    path = write(made["lackey"](100))
    arena = Footprint.scan(open_trace(path))
    with pytest.raises(VmsimError, match="not in the footprint"):
        arena.arena_page(np.array([1]))
    with pytest.raises(VmsimError, match="power of two"):
        Footprint.scan(open_trace(path), page_size=5000)
    with pytest.raises(VmsimError, match="a region is a power of two"):
        Footprint.scan(open_trace(path), region_bytes=2048)
    with pytest.raises(VmsimError, match="not of 8192"):
        list(pages(open_trace(path), 8192, arena))


def test_too_many_regions_are_an_error(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint_module, "LARGEST_FOOTPRINT", 50)
    path = write(b"".join(b"%d R\n" % (i << 21) for i in range(51)))
    with pytest.raises(VmsimError, match="touches more than 50 regions"):
        Footprint.scan(open_trace(path))
