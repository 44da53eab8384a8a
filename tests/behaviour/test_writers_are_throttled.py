"""Who dirties pages faster than the device writes them is slowed to the device's speed, and dirty memory stays limited (E.6, E.7)."""

from __future__ import annotations

from typing import Any

import pytest
from scenario import PAGE, Outcome, finish, mmap, run, scenario, start, sweep

from vmsim.experiment.run import run_one
from vmsim.machine.ending import UNTIL
from vmsim.machine.verify import verify
from vmsim.report.compare import phases_of
from vmsim.spec.experiment import OutputsSpec
from vmsim.struct.vmstat import NR_FILE_DIRTY, NR_WRITEBACK

PAGES = 4000
RATE = 10_000_000
LIMIT = 1024  # pages
SLOW = {"sda": {"type": "sata-ssd", "bandwidth_write": f"{RATE} B/s"}}
LIMITS = {"vm.dirty_bytes": LIMIT * PAGE, "vm.dirty_background_bytes": LIMIT * PAGE // 2}
MS = 1_000_000


def writer(pages: int, **given: Any) -> dict[str, Any]:
    loop = {"loop": {"count": pages // 16, "steps": [{"write": {"file": "new", "length": 16 * PAGE}}]}}
    return {"program": [loop], "files": {"new": {"size": 0}}, "image": "none", "devices": SLOW, **given}


def test_at_the_speed_of_the_device() -> None:
    """What doesn't fit below the limit takes as long as the device needs for it; the task spends that time waiting."""
    built = start(**writer(PAGES, sysctl=LIMITS))
    highest = 0
    while built.machine.run(until_ns=built.machine.clock.now + 50 * MS).reason == UNTIL:
        verify(built.kernel)
        highest = max(highest, int(built.kernel.vmstat[NR_FILE_DIRTY] + built.kernel.vmstat[NR_WRITEBACK]))
    outcome = Outcome(built, finish(built).ending)
    expected = (PAGES - LIMIT) * PAGE * 1_000_000_000 // RATE
    assert outcome.ending.now_ns == pytest.approx(expected, rel=0.15)
    assert LIMIT * 3 // 4 <= highest <= LIMIT * 9 // 8
    assert outcome.ledger("write_wait") > 0.9 * outcome.ending.now_ns
    assert outcome.task(11) > 10  # voluntary switches: many short pauses


def test_not_below_the_limits() -> None:
    """With memory to spare nobody waits, and nothing is written before somebody asks for it or 5 s have passed."""
    outcome = run(**writer(800))
    assert outcome.ledger("write_wait") == 0
    assert outcome.vmstat("nr_written") == 0


@pytest.mark.parametrize(("seconds", "written"), [(4, 0), (6, 800)])
def test_flusher_looks_after_five_seconds(seconds: int, written: int) -> None:
    """dirty_writeback_centisecs: 500. The device has written nothing yet, so that any dirty page is above its share."""
    given = writer(800)
    given["program"] = [*given["program"], {"sleep": f"{seconds} s"}]
    assert run(**given).vmstat("nr_written") == written


def test_stores_to_a_mapping_count_as_well() -> None:
    """A fault that dirties a page of a shared mapping is where its task pauses."""
    steps = [mmap(PAGES * PAGE, file="data", flags=["MAP_SHARED"]), sweep(count=PAGES, op="write")]
    outcome = run(steps, files={"data": {"size": PAGES * PAGE, "cached": "all"}}, image="none", devices=SLOW, sysctl=LIMITS)
    expected = (PAGES - LIMIT) * PAGE * 1_000_000_000 // RATE
    assert outcome.ending.now_ns == pytest.approx(expected, rel=0.2)
    assert PAGES <= outcome.vmstat("nr_dirtied") <= PAGES * 1.1  # some were written again while the task paused
    assert outcome.task(6) == outcome.vmstat("nr_dirtied")


def test_two_writers_share_the_device() -> None:
    """Two tasks with the same program end at about the same time, as each gets half of the device."""
    tasks = [
        {"name": name, "image": "none", "program": [{"loop": {"count": 150, "steps": [{"write": {"file": name, "length": 16 * PAGE}}]}}]}
        for name in ("f", "g")
    ]
    outcome = run(tasks=tasks, files={"f": {"size": 0}, "g": {"size": 0}}, devices=SLOW, sysctl=LIMITS)
    ends = [task.end_ns for task in outcome.built.tasks]
    assert min(ends) > 0.8 * max(ends)


def test_more_data_than_memory() -> None:
    """A file more than twice the size of memory: every page is written once, none is lost, and the pages of the beginning make room."""
    devices = {"sda": {"type": "nvme"}}
    outcome = run(**writer(16_000, ram="24 MiB", devices=devices))
    assert outcome.exit() == "done"
    assert outcome.vmstat("nr_dirtied") == 16_000
    assert outcome.vmstat("nr_written") + outcome.vmstat("nr_dirty") + outcome.vmstat("nr_writeback") == 16_000


def test_threads_of_the_kernel_are_no_failed_tasks() -> None:
    """A flusher that sleeps when the run ends is part of the result, but neither an incomplete phase nor a stopped run."""
    given = writer(1600, sysctl=LIMITS)
    result = run_one(scenario(given.pop("program"), **given), 0, seed=1, outputs=OutputsSpec())
    assert (result.status, result.stopped_by) == ("ok", None)
    assert [(task.task, task.exit) for task in result.tasks] == [("task", "ok"), ("flush-sda", "daemon")]
    assert list(phases_of(result)) == ["total"]
