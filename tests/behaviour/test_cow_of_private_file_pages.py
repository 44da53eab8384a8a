"""Private file mappings: a write copies the page, the page cache keeps its own (B.5, B.6)."""

from __future__ import annotations

from scenario import PAGE, READ, WRITE, mmap, run, sweep

from vmsim.struct.vmas import MM_ANONPAGES, MM_FILEPAGES

PAGES = 64
FILES = {"data": {"size": PAGES * PAGE, "cached": "all"}}
COPY_NS = 777
COSTS = {"copy_page": f"{COPY_NS} ns"}


def rss(outcome) -> tuple[int, int]:
    row = outcome.built.kernel.mm[1]
    return int(row[MM_FILEPAGES]), int(row[MM_ANONPAGES])


def test_write_to_absent_pages_copies_each() -> None:
    """do_cow_fault: one minor fault and one copy a page, nothing of the file is mapped (fault-around is for reads)."""
    outcome = run([mmap(PAGES * PAGE, file="data"), sweep(count=PAGES, op="write")], files=FILES, costs=COSTS)
    assert rss(outcome) == (0, PAGES)
    assert outcome.task(6) == PAGES
    assert outcome.ledger("copy") == PAGES * COPY_NS
    assert outcome.vmstat("nr_anon_pages") == PAGES


def test_write_after_read_copies_too() -> None:
    """Reads map 16 pages a fault; then each write is a second fault that replaces the file's page by a copy
    (do_wp_page).
    """
    outcome = run(
        [mmap(PAGES * PAGE, file="data", addr=1 << 30), sweep(count=PAGES), sweep(count=10, op="write")],
        files=FILES,
        costs=COSTS,
    )
    assert rss(outcome) == (PAGES - 10, 10)
    assert outcome.task(6) == PAGES // 16 + 10
    assert outcome.ledger("copy") == 10 * COPY_NS


def test_shared_writes_copy_nothing() -> None:
    """A shared mapping writes to the file's own pages, each dirtied once by a fault of its own (write-notify)."""
    flags = ["MAP_SHARED"]
    outcome = run(
        [
            mmap(PAGES * PAGE, file="data", flags=flags, addr=1 << 30),
            sweep(count=PAGES),
            sweep(count=2 * PAGES, op="write"),
        ],
        files=FILES,
        costs=COSTS,
    )
    assert rss(outcome) == (PAGES, 0)
    assert outcome.task(6) == PAGES // 16 + PAGES
    assert outcome.ledger("copy") == 0
    assert outcome.vmstat("nr_dirty") == PAGES


def test_the_cache_keeps_its_page() -> None:
    """After the copy a second mapping reads the file's page, not the copy: both are in memory."""
    steps = [
        mmap(PAGES * PAGE, file="data"),
        sweep(count=PAGES, op="write"),
        mmap(PAGES * PAGE, "r", file="data", prot=READ),
        sweep("r", PAGES),
    ]
    outcome = run(steps, files=FILES, costs=COSTS)
    assert rss(outcome) == (PAGES, PAGES)
    assert outcome.task(7) == 0


def test_copies_of_locked_mappings_are_locked_from_birth() -> None:
    """mlock of a private writable mapping breaks COW for every page at once: copies, all mlocked; the file's pages
    are not.
    """
    steps = [
        mmap(PAGES * PAGE, file="data", prot=WRITE),
        {"mlock": {"addr": "m", "length": PAGES * PAGE}},
        sweep(count=PAGES, op="write"),
    ]
    outcome = run(steps, files=FILES, costs=COSTS, capabilities=["CAP_IPC_LOCK"])
    assert rss(outcome) == (0, PAGES)
    assert outcome.vmstat("nr_mlock") == outcome.vmstat("nr_unevictable") == PAGES
    assert outcome.task(6) == PAGES  # all in mlock


def test_munmap_frees_the_copies_only() -> None:
    steps = [
        mmap(PAGES * PAGE, file="data"),
        sweep(count=PAGES, op="write"),
        {"munmap": {"addr": "m", "length": PAGES * PAGE}},
    ]
    outcome = run(steps, files=FILES, image="none")
    assert rss(outcome) == (0, 0)
    assert outcome.vmstat("nr_anon_pages") == 0
    assert outcome.vmstat("nr_file_pages") == PAGES
