"""MADV_PAGEOUT writes anonymous pages to swap (madvise(2): "Reclaim a given range of pages").   6.x: madvise_pageout_page_range."""

from __future__ import annotations

from scenario import PAGE, Outcome, mmap, phase, run, sweep

from vmsim.struct import tasks as t

PAGES = 1024
SWAP = {"version": "6.18", "ram": "128 MiB"}
PAGEOUT = {"madvise": {"addr": "m", "length": PAGES * PAGE, "advice": "PAGEOUT"}}
FILL = [mmap(PAGES * PAGE), sweep(count=PAGES, op="write")]


def pageout(*after: object, size: str = "16 MiB", before: list[object] | None = None) -> Outcome:
    """1024 written pages, MADV_PAGEOUT, a second of sleep, and what comes after."""
    steps = [*(FILL if before is None else before), PAGEOUT, {"sleep": "1 s"}, *after]
    return run(steps, image="none", swap={"device": "sda", "size": size}, **SWAP)


def test_every_page_is_written_and_unmapped() -> None:
    outcome = pageout({"getrusage": {"field": "ru_maxrss", "as": "peak"}})
    assert outcome.exit() == "done"
    assert outcome.vmstat("pswpout") == PAGES
    assert outcome.vmstat("nr_anon_pages") == 0
    assert outcome.task(t.T_RSS) == 0
    assert outcome.register("peak") == PAGES * PAGE // 1024


def test_written_pages_wait_in_the_swap_cache() -> None:
    """Until memory is needed, a touch finds the page there without a read (folio_end_writeback only moves it to the list's end)."""
    outcome = pageout(phase("again", sweep(count=PAGES)))
    assert outcome.vmstat("pswpin") == 0
    assert outcome.phase("again").counters["ru_minflt"] == PAGES
    assert outcome.task(t.T_RSS) == PAGES


def test_used_pages_go_too() -> None:
    """Reclaim would keep what was used a moment ago; PAGEOUT doesn't ask."""
    outcome = pageout(before=[*FILL, sweep(count=PAGES), sweep(count=PAGES)])
    assert outcome.vmstat("pswpout") == PAGES


def test_pages_of_two_processes_stay() -> None:
    """A page that a child maps as well is left alone (folio_likely_mapped_shared, before it page_mapcount)."""
    child = {"fork": {"steps": [{"sleep": "5 s"}]}}
    outcome = pageout(before=[*FILL, child])
    assert outcome.vmstat("pswpout") == 0


def test_full_swap_keeps_the_rest() -> None:
    """With room for 256 pages but the header's one, the others stay, and the call ends."""
    outcome = pageout(size="1 MiB")
    assert outcome.exit() == "done"
    assert 0 < outcome.vmstat("pswpout") < 256
    assert outcome.task(t.T_RSS) == PAGES - outcome.vmstat("pswpout")


def test_locked_memory_and_no_swap() -> None:
    """A locked range is EINVAL; without swap everything stays."""
    locked = {"madvise": {"addr": "m", "length": PAGES * PAGE, "advice": "PAGEOUT", "expect": "EINVAL"}}
    steps = [*FILL, {"mlock": {"addr": "m", "length": PAGES * PAGE}}, locked]
    assert run(steps, image="none", capabilities=["CAP_IPC_LOCK"], **SWAP).exit() == "done"
    outcome = run([*FILL, PAGEOUT], image="none", **SWAP)
    assert outcome.task(t.T_RSS) == PAGES
