"""Fault-around: one read fault maps the 16 cached pages of its aligned 64 KiB (B.5 step 1)."""

from __future__ import annotations

import pytest
from scenario import PAGE, READ, mmap, run, sweep
from shell import Shell

from vmsim.struct.vmas import MM_FILEPAGES

PAGES = 1024
FILES = {"data": {"size": PAGES * PAGE, "cached": "all"}}


@pytest.mark.parametrize(("window", "faults"), [(65536, PAGES // 16), (4096, PAGES), (16384, PAGES // 4), (1 << 20, PAGES // 256)])
def test_faults_of_a_sweep(window: int, faults: int) -> None:
    """A sweep over cached pages: one fault a window; with 4 KiB one a page."""
    outcome = run(
        [mmap(PAGES * PAGE, file="data", prot=READ, addr=1 << 30), sweep(count=PAGES)],
        files=FILES,
        fault_around_bytes=window,
    )
    assert (outcome.task(6), outcome.task(7)) == (faults, 0)


def mapped_by(shell: Shell, address: int) -> int:
    before = shell.mm(MM_FILEPAGES)
    assert shell.touch(address) == 0
    return shell.mm(MM_FILEPAGES) - before


def test_the_window_is_aligned_and_clipped() -> None:
    """Aligned by address, not by the fault; it begins no earlier than the VMA and ends with the file; present pages
    are passed over.
    """
    shell = Shell(files={"data": {"size": 40 * PAGE, "cached": "all"}})
    base = 0x10000 * PAGE
    address = shell.call("mmap", base + 10 * PAGE, 80 * PAGE, 1, 0x12, shell.fd("data"), 0)
    assert mapped_by(shell, address) == 16  # 10 to 25: a window that the VMA's start cuts is not made shorter (max_pgoff)
    assert mapped_by(shell, base + 31 * PAGE) == 6  # 26 to 31
    assert mapped_by(shell, base + 40 * PAGE) == 16
    assert mapped_by(shell, base + 49 * PAGE) == 2  # the file ends after page 49
    assert shell.faults() == (4, 0)
    shell.verify()


def test_the_window_ends_with_the_page_table() -> None:
    """With a 2 MiB window a VMA that crosses a table of 512 entries is mapped up to the table's end."""
    shell = Shell(files=FILES, fault_around_bytes=2 << 20)
    base = 0x10000 * PAGE
    shell.call("mmap", base + 500 * PAGE, 100 * PAGE, 1, 0x12, shell.fd("data"), 0)
    assert mapped_by(shell, base + 505 * PAGE) == 12
    assert mapped_by(shell, base + 512 * PAGE) == 88


def test_only_cached_pages_are_mapped() -> None:
    """Half of the file is cached: the fault maps what is there and reads nothing."""
    shell = Shell(files={"data": {"size": 16 * PAGE, "cached": "50 %"}})
    address = shell.call("mmap", 0x10000 * PAGE, 16 * PAGE, 1, 0x12, shell.fd("data"), 0)
    assert mapped_by(shell, address + 3 * PAGE) == 8
    assert shell.vmstat("pgpgin") == 0


def test_writes_map_one_page() -> None:
    """Write faults of private mappings have no window: each page is its own fault."""
    outcome = run([mmap(PAGES * PAGE, file="data"), sweep(count=PAGES, op="write")], files=FILES)
    assert outcome.task(6) == PAGES


def test_as_recorded() -> None:
    """Recorded on a 4.4.1 kernel: 20,000 cached pages read in order: 1,251 minor faults.

    1,250 windows of 16 pages, one more because the mapping did not begin on a window.
    """
    steps = [mmap(20_000 * PAGE, file="data", prot=READ, addr=(1 << 30) + 5 * PAGE), sweep(count=20_000)]
    outcome = run(steps, files={"data": {"size": 20_000 * PAGE, "cached": "all"}}, ram="256 MiB")
    assert outcome.task(6) == 1251
