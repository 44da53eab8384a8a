"""Two CPUs that reclaim at once: what is written while its reclaimer still holds it stays in the swap cache, and flushes are shared."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenario import finish, mmap, run_verified, start, sweep
from vmsim.machine.build import Built
from vmsim.struct import kernel as kn
from vmsim.struct import reclaim as rc
from vmsim.struct.vmstat import VMSTAT_NAMES

PAGE = 4096
DISK = {"type": "sata-ssd", "latency": {"type": "constant"}, "channels": 1, "write_latency": "50 us", "rotational": True}
SLOW = {"reclaim_page": "4 us", "rmap_walk": "2 us", "ipi": "90 us", "free_page": "1 us"}


def filler(cpus: int, queues: int, moved: bool = False) -> Built:
    """A task that writes more than the memory of 64 MiB; if it has `moved`, it has been on the other CPU before."""
    program: list[dict[str, Any]] = [{"clone": {"steps": [{"compute": "1 us"}]}}, {"wait": {}}] if moved else []
    swap = {"device": "sda", "size": "64 MiB"}
    devices = {"sda": {**DISK, "queues": queues}}
    program += [mmap(18000 * PAGE), sweep(count=18000, op="write")]
    return start(program, ram="64 MiB", cpus=cpus, devices=devices, swap=swap, costs=SLOW, image="none")


def counts(built: Built) -> dict[str, int]:
    outcome = finish(built)
    return {name: outcome.vmstat(name) for name in VMSTAT_NAMES}


def steals(found: dict[str, int]) -> int:
    return sum(number for name, number in found.items() if name.startswith("pgsteal"))


def test_requests_that_are_held_back_are_written_once_per_page_freed() -> None:
    """mm/swap.c: rotate_reclaimable_page moves only pages that are on a list.

    With one queue a task holds back 16 requests, so most writes end after their page is back on its list; with more than one
    (block/blk-mq.c of v4.4: blk_mq_make_request) a request is started when the next one is made, and its write ends while the page is still
    isolated. Such a page isn't freed next, so that more of them are written for as many that are freed.
    """
    held, at_once = (counts(filler(2, queues, moved=True)) for queues in (1, 2))
    for found in (held, at_once):
        assert found["pgrotated"] <= found["pswpout"]
        assert steals(found) > 1000
    missed = [found["pswpout"] - found["pgrotated"] for found in (held, at_once)]
    assert missed[1] > missed[0]
    assert at_once["pswpout"] / steals(at_once) > held["pswpout"] / steals(held)


def test_an_address_space_that_was_on_both_cpus_is_flushed_on_both() -> None:
    """mm/rmap.c of v4.4: should_defer_flush. A program that never left its CPU unmaps its own pages without an interrupt; one whose address
    space another CPU keeps, lazily, interrupts it, and unlike flush_tlb_func the flush of a batch doesn't make that CPU leave."""
    stayed, moved = finish(filler(2, 1)), finish(filler(2, 1, moved=True))
    for outcome in (stayed, moved):
        assert outcome.vmstat("allocstall") > 0
    assert moved.ledger("ipi") > 2 * stayed.ledger("ipi")


@pytest.mark.parametrize("queues", [1, 2])
def test_isolated_pages_are_in_a_batch_and_all_go_back(queues: int) -> None:
    """`verify` at many moments of a run under pressure, in the midst of batches; at its end nothing is isolated or held back."""
    built = filler(2, queues)
    run_verified(built, [step * 1_000_000 for step in range(60, 130, 2)])
    scan = built.kernel.scan
    assert not scan[1, rc.S_BATCH_TAKEN] and not scan[1, rc.S_PLUGGED]
    assert built.kernel.sc[kn.SC_NR_NEW_BIOS] == 0
