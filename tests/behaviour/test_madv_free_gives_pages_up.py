"""MADV_FREE (since 4.5): reclaim drops the pages that weren't written since, without swapping them.   madvise.c, vmscan.c, rmap.c of v6.1;
smaps as on a 6.18 kernel, where the same calls were made."""

from __future__ import annotations

from typing import Any

import pytest
from scenario import PAGE, Outcome, mmap, phase, run, sweep

PAGES = 128
SIZE = PAGES * PAGE
FREE = {"madvise": {"addr": "m", "length": SIZE, "advice": "FREE"}}
WRITTEN = [mmap(SIZE), sweep(count=PAGES, op="write")]
HOG = ["PROT_READ", "PROT_WRITE", "PROT_EXEC"]  # so that it doesn't merge with the mapping beside it
PRESSURE = [mmap("9 MiB", "hog", prot=HOG), sweep("hog", count=2304, op="write")]


def short(*steps: dict[str, Any], **given: Any) -> Outcome:
    """A machine of 8 MiB with 16 MiB of swap."""
    return run(
        steps, **{"ram": "8 MiB", "swap": {"device": "sda", "size": "16 MiB"}, "version": "6.1", "image": "none",
                  "sysctl": {"vm.overcommit_memory": 1}, **given},
    )  # fmt: skip


def smaps(outcome: Outcome, number: int = 0) -> dict[str, int]:
    """Sizes of the mapping of PAGES pages that the n-th `show` step kept, in pages."""
    text = [show.text for show in outcome.built.shown if show.file == "smaps"][number]
    for part in text.split("VmFlags:"):
        found = {name.rstrip(":"): int(rest[0]) // 4 for name, *rest in map(str.split, part.splitlines()) if rest[-1:] == ["kB"]}
        if found.get("Size") == PAGES:
            return found
    raise AssertionError(text)


@pytest.mark.parametrize("lru_gen", [False, True])
def test_what_was_not_written_again_is_dropped(lru_gen: bool) -> None:
    """All 128 pages are given up, and none of them is written to swap: the next touch of each finds a zeroed page, without a read."""
    outcome = short(*WRITTEN, FREE, *PRESSURE, phase("again", sweep(count=PAGES)), lru_gen=lru_gen)
    assert outcome.vmstat("pglazyfree") == PAGES
    assert outcome.vmstat("pglazyfreed") == PAGES
    again = outcome.phase("again").counters
    assert (again["ru_majflt"], again["ru_minflt"]) == (0, PAGES)


@pytest.mark.parametrize("lru_gen", [False, True])
def test_what_was_written_again_is_kept(lru_gen: bool) -> None:
    """A store to a given-up page makes it ordinary again when reclaim meets it: it stays or goes to swap, and is not zeroed."""
    kept = 50
    outcome = short(*WRITTEN, FREE, sweep(count=kept, op="write"), *PRESSURE, {"show": ["smaps"]}, lru_gen=lru_gen)
    found = smaps(outcome)
    assert outcome.vmstat("pglazyfreed") == PAGES - kept
    assert found["Rss"] + found["Swap"] == kept
    assert found["LazyFree"] == 0


def test_smaps_tells_what_is_given_up() -> None:
    """As on the 6.18 kernel: clean, private, not referenced, LazyFree; what is written again is dirty."""
    outcome = short(*WRITTEN, FREE, {"show": ["smaps"]}, sweep(count=10, op="write"), {"show": ["smaps"]}, ram="16 MiB")
    first, second = smaps(outcome), smaps(outcome, 1)
    assert [first[name] for name in ("Rss", "Private_Clean", "Private_Dirty", "Referenced", "LazyFree")] == [PAGES, PAGES, 0, 0, PAGES]
    assert [second[name] for name in ("Private_Clean", "Private_Dirty", "Referenced", "LazyFree")] == [PAGES - 10, 10, 10, PAGES - 10]


def test_a_page_that_a_child_shares_is_given_up_by_one_of_them() -> None:
    """As on the 6.18 kernel: the parent's entries become clean, and the child's stay dirty, so that no page is lost that it may want."""
    child = [{"wait_for": "freed"}, {"show": ["smaps"]}, *PRESSURE, {"show": ["smaps"]}]
    outcome = short(*WRITTEN, {"fork": {"as": "kid", "steps": child}}, FREE, {"show": ["smaps"]}, {"post": "freed"}, {"wait": "kid"})
    parent, shared, later = (smaps(outcome, i) for i in range(3))
    assert (parent["Shared_Clean"], parent["Shared_Dirty"], parent["LazyFree"]) == (PAGES, 0, PAGES)
    assert (shared["Shared_Clean"], shared["Shared_Dirty"]) == (0, PAGES)
    assert later["Rss"] + later["Swap"] == PAGES
    assert outcome.vmstat("pglazyfreed") == 0


def test_swapped_pages_go_at_once() -> None:
    """The slots of pages in swap are free again after the call, and their next touch is not a read (madvise_free_pte_range)."""
    out = {"madvise": {"addr": "m", "length": SIZE, "advice": "PAGEOUT"}}
    outcome = short(*WRITTEN, out, {"sleep": "2 s"}, {"show": ["smaps"]}, FREE, {"show": ["smaps"]}, phase("again", sweep(count=PAGES)))
    before, after = smaps(outcome), smaps(outcome, 1)
    assert (before["Swap"], after["Swap"], after["Rss"]) == (PAGES, 0, 0)
    assert outcome.vmstat("pglazyfree") == 0
    assert (outcome.phase("again").counters["ru_majflt"], outcome.vmstat("pswpin")) == (0, 0)


def test_4_4_does_not_know_it() -> None:
    """MADV_FREE came with 4.5."""
    assert short(*WRITTEN, FREE, version="4.4").exit() == "madvise: EINVAL"
