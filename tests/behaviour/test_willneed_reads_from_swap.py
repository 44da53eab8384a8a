"""MADV_WILLNEED reads what of a range is in swap, so that its next touch doesn't wait.   madvise.c: force_swapin_readahead (A.9)."""

from __future__ import annotations

from typing import Any

import pytest
from scenario import PAGE, Outcome, mmap, phase, run, sweep

PAGES = 128
SIZE = PAGES * PAGE
NEED = {"madvise": {"addr": "m", "length": SIZE, "advice": "WILLNEED"}}
HOG = [mmap("9 MiB", "hog", prot=["PROT_READ", "PROT_WRITE", "PROT_EXEC"]), sweep("hog", count=4608, op="write")]
SWAPPED_OUT = [*HOG, {"munmap": {"addr": "hog", "length": "9 MiB"}}, {"sleep": "1 s"}]  # and kswapd has come to rest
MAPPINGS = {
    "private": mmap(SIZE),
    "memory file": mmap(SIZE, file="memory", flags=["SHARED"]),
    "shared": mmap(SIZE, flags=["SHARED", "ANONYMOUS"]),
}


def short(*steps: dict[str, Any], **given: Any) -> Outcome:
    """A machine of 8 MiB with 16 MiB of swap, which is read slot by slot."""
    return run(
        steps, **{"ram": "8 MiB", "swap": {"device": "sda", "size": "16 MiB"}, "image": "none", "version": "4.4",
                  "files": {"memory": {"size": SIZE, "fs": "tmpfs"}}, "sysctl": {"vm.overcommit_memory": 1, "vm.page-cluster": 0}, **given},
    )  # fmt: skip


def counts(kind: str, version: str, *advice: dict[str, Any]) -> tuple[int, int, int]:
    """Pages that are read for the advice, and major faults and pages read when all are touched 2 s later."""
    fill = [MAPPINGS[kind], sweep(count=PAGES, op="write"), *SWAPPED_OUT]
    outcome = short(*fill, phase("need", *advice, {"sleep": "2 s"}), phase("again", sweep(count=PAGES)), version=version)
    assert outcome.exit() == "done"
    again = outcome.phase("again").counters
    return outcome.phase("need").counters["pswpin"], again["ru_majflt"], again["pswpin"]


@pytest.mark.parametrize("version", ["4.4", "6.1"])
@pytest.mark.parametrize("kind", list(MAPPINGS))
def test_the_touch_after_it_is_minor(kind: str, version: str) -> None:
    """What would have been a major fault each is read by the call, page by page; then there is none."""
    before, faults, read = counts(kind, version)
    assert before == 0
    assert faults == read > 0
    assert counts(kind, version, NEED) == (read, 0, 0)


def test_more_than_memory_holds() -> None:
    """It reads every slot, even if what it has read first goes again for it; the call ends."""
    advice = {"madvise": {"addr": "m", "length": "12 MiB", "advice": "WILLNEED"}}
    outcome = short(mmap("12 MiB"), sweep(count=3072, op="write"), phase("need", advice))
    assert outcome.exit() == "done"
    assert outcome.phase("need").counters["pswpin"] > 1024
    assert outcome.phase("need").counters["ru_majflt"] == 0


def test_without_swap_it_does_nothing() -> None:
    """There is nothing to read."""
    outcome = run([mmap(SIZE), sweep(count=PAGES, op="write"), NEED], ram="16 MiB", image="none")
    assert outcome.exit() == "done"
    assert outcome.vmstat("pswpin") == 0
