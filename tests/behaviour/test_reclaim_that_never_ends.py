"""Before 4.7 a task may reclaim for ever.

With swappiness 0 and free swap get_scan_count takes only anonymous pages where a zone's file pages and free pages are no more than its high
watermark, at priority 0, too (C.8).  Where there are none nothing is scanned, so the zone passes for reclaimable: its pages were scanned
less than six times over (C.9).  That counts as progress, and the OOM killer isn't called (C.4, C.10).  Such loops are known of these
kernels; 0a0337e0d1d1 (4.7) ended them.  A run says so instead of going on.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenario import PAGE, Outcome, finish, mmap, start

from vmsim.machine.build import Built
from vmsim.machine.ending import FINISHED, LIVELOCK, UNTIL
from vmsim.machine.livelock import LOOK_EVERY
from vmsim.struct.pages import LRU_ACTIVE_FILE, LRU_INACTIVE_FILE, Z_FREE, Z_HIGH, Z_LRU, Z_MANAGED, Z_MIN
from vmsim.units import NS_PER_MS

RAM = "4 MiB"
TOO_MUCH = 1200  # pages; 4 MiB are 1024
LOCK = [mmap(TOO_MUCH * PAGE), {"mlock": {"addr": "m", "length": TOO_MUCH * PAGE, "expect": "any"}}]
READ = [{"pread": {"file": "data", "offset": 0, "length": 12 * PAGE}}]  # so that there are pages that could be reclaimed


def machine(swappiness: int = 0, version: str = "4.4", swap: bool = True, *others: dict[str, Any]) -> Built:
    locker = {"name": "locker", "image": "none", "capabilities": ["CAP_IPC_LOCK"], "program": READ + READ + LOCK}
    return start(
        tasks=[locker, *others], cpus=3, ram=RAM, version=version, files={"data": {"size": 64 * PAGE}},
        sysctl={"vm.overcommit_memory": 1, "vm.swappiness": swappiness}, **({"swap": {"device": "sda", "size": "16 MiB"}} if swap else {}),
    )  # fmt: skip


def test_swappiness_0_and_no_anonymous_page_left() -> None:
    outcome = finish(machine())
    assert outcome.ending.reason == LIVELOCK
    assert outcome.exit() == "running"
    assert "task locker/1: reclaims memory and gets nowhere" in outcome.ending.report()
    zone = outcome.built.kernel.zone[0]  # the only one
    file = zone[Z_LRU + LRU_INACTIVE_FILE] + zone[Z_LRU + LRU_ACTIVE_FILE]
    assert zone[Z_MANAGED] > 900
    assert zone[Z_FREE] <= zone[Z_MIN]
    assert 0 < file <= zone[Z_HIGH] - zone[Z_FREE]
    assert outcome.vmstat("nr_inactive_anon") == outcome.vmstat("nr_active_anon") == outcome.vmstat("nr_pages_scanned") == 0
    assert outcome.vmstat("allocstall") > 2 * LOOK_EVERY


@pytest.mark.parametrize(
    ("swappiness", "version", "swap"),
    [(1, "4.4", True), (60, "4.3", True), (0, "4.4", False), (0, "6.1", True), (0, "6.18", True)],
)
def test_any_other_machine_kills(swappiness: int, version: str, swap: bool) -> None:
    """At priority 0 both kinds are scanned unless swappiness is 0; without swap only files are; later 16 tries in vain are enough."""
    outcome = finish(machine(swappiness, version, swap))
    assert (outcome.ending.reason, outcome.exit()) == (FINISHED, "SIGKILL")


def test_who_frees_memory_later_ends_it() -> None:
    """Another task sleeps, and then gives back what it has locked: the first one gets it, and no livelock is reported before."""
    theirs = {"addr": "m", "length": 200 * PAGE}
    keep = [mmap(200 * PAGE), {"mlock": theirs}, {"sleep": "25 ms"}, {"munmap": theirs}]
    holder = {"name": "holder", "image": "none", "capabilities": ["CAP_IPC_LOCK"], "program": keep}
    built = machine(0, "4.4", True, holder)
    before = Outcome(built, built.machine.run(until_ns=20 * NS_PER_MS))
    assert before.ending.reason == UNTIL
    assert before.vmstat("allocstall") > 4 * LOOK_EVERY
    locked_alone = before.vmstat("nr_mlock") - 200
    outcome = finish(built)
    assert outcome.exit(2) == "done"
    assert outcome.ending.now_ns > 25 * NS_PER_MS
    assert outcome.vmstat("nr_mlock") - locked_alone > 100


def test_a_livelock_stays_one_and_comes_again() -> None:
    """It is found at the same time again, and a machine that has ended so doesn't go on."""
    outcome = finish(machine())
    assert finish(machine()).ending == outcome.ending
    assert outcome.built.machine.run() == outcome.ending
    assert outcome.built.machine.run(until_ns=outcome.ending.now_ns + NS_PER_MS) == outcome.ending
