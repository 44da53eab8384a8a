"""write(2), shared mappings, and the calls that wait for the device (E.4, E.5, A.11, A.14)."""

from __future__ import annotations

from typing import Any

import pytest
from scenario import PAGE, finish, mmap, run, start, sweep

from vmsim.struct.files import FI_CACHE, FI_NRPAGES, FI_SIZE
from vmsim.struct.kernel import SYS_DIRTY_BACKGROUND_BYTES, SYS_DIRTY_BACKGROUND_RATIO, SYS_DIRTY_BYTES, SYS_DIRTY_RATIO
from vmsim.struct.pages import P_FLAGS, PG_ACTIVE

PAGES = 64


def file(pages: int = PAGES, **given: Any) -> dict[str, Any]:
    return {"f": {"size": pages * PAGE, **given}}


def test_new_file_like_the_recorded_one() -> None:
    """Recorded `filewrite_10000`: 10,000 pages dirtied, none written before fsync, which writes them all.

    The recording also has 12 pages of ext2's own (indirect blocks, bitmaps), which vmsim has not.
    """
    chunks = 10_000 // 16
    write = {"loop": {"count": chunks, "steps": [{"write": {"file": "new", "length": 16 * PAGE}}]}}
    phases = [{"phase": {"name": "write", "steps": [write]}}, {"phase": {"name": "fsync", "steps": [{"fsync": "new"}]}}]
    outcome = run(phases, files={"new": {"size": 0}}, ram="512 MiB", image="none")
    written, synced = (outcome.phase(name).counters for name in ("write", "fsync"))
    assert (written["nr_dirty"], written["nr_dirtied"], written.get("nr_written", 0)) == (10_000, 10_000, 0)
    assert (synced["nr_dirty"], synced["nr_written"], synced["pgpgout"]) == (-10_000, 10_000, 40_000)
    assert outcome.vmstat("nr_file_pages") == 10_000
    assert outcome.ledger("write_wait") > 0


def test_written_page_starts_referenced() -> None:
    """FGP_ACCESSED: a page that a write creates is referenced, so the second write activates it and a third does not."""
    write = {"pwrite": {"file": "f", "offset": 0, "length": PAGE}}
    for times, active in ((1, 0), (2, 1), (3, 1)):
        outcome = run([write] * times, files=file(), image="none")
        kernel = outcome.built.kernel
        pfn = kernel.pcache[kernel.file[outcome.built.file_ids["f"], FI_CACHE]]
        assert bool(kernel.frame[pfn, P_FLAGS] & PG_ACTIVE) == bool(active)


def test_part_of_a_page_needs_the_rest() -> None:
    """A page that is overwritten whole, or lies beyond the end, is not read; one that is overwritten in part is."""
    steps = [
        {"pwrite": {"file": "f", "offset": 0, "length": PAGE}},
        {"pwrite": {"file": "f", "offset": PAGES * PAGE + 100, "length": 10}},
    ]
    assert run(steps, files=file(), image="none").vmstat("pgpgin") == 0
    outcome = run([{"pwrite": {"file": "f", "offset": 100, "length": 10}}], files=file(), image="none")
    assert outcome.vmstat("pgpgin") == PAGE // 1024
    assert outcome.ledger("read_wait") > 0


def test_unreadable_page_cannot_be_written_in_part() -> None:
    built = start([{"pwrite": {"file": "f", "offset": 100, "length": 10, "expect": "EIO"}}], files=file(), image="none")
    built.machine.devices[0].fault = lambda now, write, first, pages: not write
    outcome = finish(built)
    assert outcome.exit() == "done"
    assert outcome.vmstat("nr_dirty") == 0


@pytest.mark.parametrize("sync", [{"fsync": "f"}, {"msync": {"addr": "m", "length": PAGES * PAGE, "flags": ["SYNC"]}}, {"sync": {}}])
def test_write_notify(sync: dict[str, Any]) -> None:
    """Each store to a clean shared page is a fault; writing the pages cleans their entries, so the next stores fault again."""
    stores = sweep(count=PAGES, op="write")
    steps = [mmap(PAGES * PAGE, file="f", flags=["MAP_SHARED"]), stores, stores, sync, stores]
    outcome = run(steps, files=file(cached="all"), image="none")
    assert outcome.task(6) + outcome.task(7) == 2 * PAGES
    assert (outcome.vmstat("nr_dirtied"), outcome.vmstat("nr_written"), outcome.vmstat("nr_dirty")) == (2 * PAGES, PAGES, PAGES)


def test_failed_write_is_told_once() -> None:
    """AS_EIO: the fsync after the failed write returns EIO, the next one 0."""
    steps = [
        {"pwrite": {"file": "f", "offset": 0, "length": PAGE}},
        {"fsync": {"file": "f", "expect": "EIO"}},
        {"fsync": "f"},
    ]
    built = start(steps, files=file(), image="none")
    built.machine.devices[0].fault = lambda now, write, first, pages: bool(write)
    assert finish(built).exit() == "done"


def test_contiguous_pages_share_requests() -> None:
    """64 pages in a row are one request; every second page is one each."""
    outcome = run([{"write": {"file": "f", "length": PAGES * PAGE}}, {"fsync": "f"}], files=file(), image="none")
    assert outcome.built.machine.devices[0].stat.writes.requests == 1
    every_second = {"loop": {"count": PAGES // 2, "as": "i", "steps": [{"pwrite": {"file": "f", "offset": "i * 8192", "length": PAGE}}]}}
    outcome = run([every_second, {"fsync": "f"}], files=file(), image="none")
    assert outcome.vmstat("nr_written") == outcome.built.machine.devices[0].stat.writes.requests == PAGES // 2


def test_full_device() -> None:
    """A device of 100 pages: what fits is written, then ENOSPC."""
    devices = {"sda": {"type": "sata-ssd", "size": 100 * PAGE}}
    steps = [{"write": {"file": "f", "length": 200 * PAGE, "as": "a"}}, {"write": {"file": "f", "length": 1, "expect": "ENOSPC"}}]
    outcome = run(steps, files={"f": {"size": 10 * PAGE}}, devices=devices, image="none")
    assert outcome.register("a") == 100 * PAGE
    assert outcome.built.kernel.file[1, FI_SIZE] == 100 * PAGE


def test_growing_files_keep_their_pages() -> None:
    """Two files that grow in turns: every page stays where it was, and both come back whole."""
    grow = {"loop": {"count": 40, "steps": [{"write": {"file": name, "length": 3 * PAGE}} for name in "fg"]}}
    outcome = run([grow, {"sync": {}}], files={"f": {"size": 0}, "g": {"size": 5 * PAGE}}, image="none")
    assert outcome.built.kernel.file[1:3, FI_SIZE].tolist() == [120 * PAGE, 120 * PAGE]
    assert outcome.vmstat("nr_written") == 240
    assert outcome.built.kernel.file[1:3, FI_NRPAGES].tolist() == [120, 120]


def test_dontneed_drops_what_is_clean() -> None:
    """Dirty pages are only started to be written, so that a second call can drop them too."""
    steps = [
        {"write": {"file": "f", "length": 10 * PAGE}},
        {"pread": {"file": "f", "offset": 0, "length": PAGES * PAGE}},
        {"fadvise": {"file": "f", "advice": "DONTNEED"}},
    ]
    outcome = run([*steps, {"sleep": "100 ms"}], files=file(cached="all"), image="none")
    assert (outcome.built.kernel.file[1, FI_NRPAGES], outcome.vmstat("nr_written")) == (10, 10)
    outcome = run([*steps, {"sleep": "100 ms"}, steps[-1]], files=file(cached="all"), image="none")
    assert outcome.built.kernel.file[1, FI_NRPAGES] == 0


def test_drop_caches() -> None:
    """Clean unmapped pages go; dirty and mapped ones stay (fs/drop_caches.c)."""
    steps = [
        mmap(4 * PAGE, file="f", prot=["READ"], addr=1 << 30),
        sweep(count=4),
        {"pwrite": {"file": "f", "offset": 32 * PAGE, "length": 3 * PAGE}},
        {"sysctl": {"name": "vm.drop_caches", "value": 1}},
        {"sysctl": {"name": "vm.drop_caches", "value": 9, "expect": "EINVAL"}},
    ]
    outcome = run(steps, files=file(cached="all"), image="none", fault_around_bytes=4096)
    assert outcome.built.kernel.file[1, FI_NRPAGES] == 4 + 3
    assert outcome.vmstat("drop_pagecache") == 1


def test_of_a_pair_of_limits_the_last_written_holds() -> None:
    steps = [
        {"sysctl": {"name": "vm.dirty_bytes", "value": 8192}},
        {"sysctl": {"name": "vm.dirty_bytes", "value": 8191, "expect": "EINVAL"}},
        {"sysctl": {"name": "vm.dirty_background_bytes", "value": 4096}},
        {"sysctl": {"name": "vm.dirty_background_ratio", "value": 5}},
    ]
    outcome = run(steps, files=file(), image="none")
    setting = outcome.built.kernel.sysctl
    assert [int(setting[n]) for n in (SYS_DIRTY_BYTES, SYS_DIRTY_RATIO)] == [8192, 0]
    assert [int(setting[n]) for n in (SYS_DIRTY_BACKGROUND_BYTES, SYS_DIRTY_BACKGROUND_RATIO)] == [0, 5]
