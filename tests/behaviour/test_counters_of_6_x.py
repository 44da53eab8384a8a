"""/proc/vmstat of 6.x: the kernel's names, in its order, and what counters by kind of pages add up to (vmscan.c, workingset.c of v6.1)."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenario import Outcome, mmap, phase, run, sweep

# The names in /proc/vmstat of a 6.18.44 kernel.
NAMES = (Path(__file__).parents[1] / "conformance" / "data" / "vmstat-6.18.txt").read_text("utf-8").split()


def thrash(**given: object) -> Outcome:
    """More anonymous memory than there is, a file beside it, and all of it used again."""
    work = [sweep(count=2000, op="write"), sweep("f", count=1500), sweep(count=2000)]
    steps = [mmap("8 MiB"), mmap("6 MiB", "f", file="data", prot=["PROT_READ"]), *work, phase("again", *work), {"show": ["vmstat"]}]
    sysctl = {"vm.overcommit_memory": 1, "vm.page-cluster": 3}
    files = {"data": {"size": "6 MiB", "device": "sda"}}
    return run(steps, image="none", ram="8 MiB", swap={"device": "sda", "size": "32 MiB"}, sysctl=sysctl, files=files, **given)


def shown(outcome: Outcome) -> dict[str, int]:
    """What /proc/vmstat shows at the end."""
    return {name: int(value) for name, value in (line.split() for line in outcome.built.shown[-1].text.splitlines())}


def test_names_and_order_are_those_of_a_running_kernel() -> None:
    """Every line is one of the kernel's; those in between that are left out tell of what isn't modelled."""
    names = list(shown(thrash(version="6.18")))
    places = [NAMES.index(name) for name in names]
    assert places == sorted(places)


@pytest.mark.parametrize("lru_gen", [False, True])
def test_scanned_and_stolen_pages_by_kind_and_by_whom_are_as_many(lru_gen: bool) -> None:
    """shrink_inactive_list and evict_folios count the same pages under both names."""
    counts = shown(thrash(version="6.1", lru_gen=lru_gen))
    for what in ("scan", "steal"):
        by_kind = counts[f"pg{what}_anon"] + counts[f"pg{what}_file"]
        assert by_kind == counts[f"pg{what}_kswapd"] + counts[f"pg{what}_direct"]
        assert counts[f"pg{what}_anon"] > 0 < counts[f"pg{what}_file"]


def test_anonymous_pages_refault_with_each_read_from_swap() -> None:
    """A page that is read from swap had been evicted; that is all that a refault is, with the classic LRU (recorded: 51,317 of 51,318)."""
    counts = shown(thrash(version="6.1"))
    assert counts["workingset_refault_anon"] == counts["pswpin"] > 0
    assert counts["workingset_restore_anon"] <= counts["workingset_activate_anon"] <= counts["workingset_refault_anon"]
    assert counts["workingset_refault_file"] > 0
    assert 0 < counts["swap_ra_hit"] <= counts["swap_ra"] < counts["pswpin"]


def test_4_4_shows_its_own() -> None:
    """What came later isn't there, and stays 0: 4.4 doesn't know of anonymous refaults."""
    outcome = thrash(version="4.4")
    assert "workingset_refault_anon" not in shown(outcome)
    assert "workingset_refault" in shown(outcome)
    assert outcome.vmstat("workingset_refault_anon") == 0
