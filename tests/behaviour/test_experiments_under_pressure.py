"""The experiments under memory pressure on small machines: what theory and recorded kernels say of them holds there, too."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from vmsim.experiment.record import RunResult
from vmsim.experiment.run import run_one
from vmsim.report.compare import count_of, phases_of
from vmsim.spec.load import load_experiment

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@cache
def run(name: str, row_id: str, *overrides: str) -> RunResult:
    experiment = load_experiment(EXPERIMENTS / f"{name}.yaml", overrides)
    (row,) = [row for row in experiment.runs if row.row_id == row_id]
    return run_one(row, 0, seed=1, outputs=experiment.outputs)


def count(result: RunResult, name: str) -> int:
    value = count_of(result, name)
    assert value is not None, name
    return value


# A rotating disk is too slow for so little memory: all of the inactive list comes to be under writeback.
THRASH = ("machine.devices.sda={type: nvme}", "constants.size=12 MiB", "constants.warm=600", "constants.accesses=600",
          "sweep.RAM.values=[8 MiB, 11 MiB, 14 MiB, 24 MiB]")  # fmt: skip


@pytest.mark.parametrize("pattern", ["uniform", "zipf"])
def test_misses_fall_with_memory_and_end_where_all_fits(pattern: str) -> None:
    """More memory never makes more misses of a stack algorithm (Mattson 1970); reclaim is near enough to one."""
    misses = [count(run("thrashing-curve", f"{pattern}-{mib}-mib", *THRASH), "work.ru_majflt") for mib in (8, 11, 14, 24)]
    assert misses == sorted(misses, reverse=True)
    assert misses[0] > misses[1] > 0
    assert misses[3] == 0


def test_a_circle_misses_everything_an_exact_lru_would() -> None:
    """Cyclic accesses beyond memory have no hit under LRU; swap read-ahead turns most of them into minor faults."""
    tight = run("thrashing-curve", "cyclic-8-mib", *THRASH)
    assert count(tight, "work.ru_majflt") + count(tight, "work.ru_minflt") > 500


CLUSTER = ("constants.size=12 MiB", "constants.accesses=1500", "machine.ram=8 MiB")


def test_page_cluster_0_reads_what_is_missed_and_no_more() -> None:
    """Recorded: with page-cluster 0 pages swapped in are major faults exactly."""
    single = run("page-cluster", "random-0-ssd", *CLUSTER)
    assert count(single, "work.pswpin") == count(single, "work.ru_majflt") > 0


def test_read_ahead_of_swap_pays_off_in_order() -> None:
    """Groups of 8 slots that were written in the order of their use: between an eighth and a quarter of the misses."""
    single, eight = (count(run("page-cluster", f"seq-{n}-ssd", *CLUSTER), "work.ru_majflt") for n in (0, 3))
    assert single / 9 < eight < single / 4


SWAPPINESS = ("constants.size=5600 KiB", "constants.file=4800 KiB", "constants.rounds=4000", "machine.ram=8 MiB")


def test_swappiness_has_no_effect_on_4_4_when_a_file_is_read_once_and_again() -> None:
    """Recorded (c2): 0, 46 and 73 pages of 44,081 at swappiness 0, 60 and 100, the same refaults at each."""
    swapped = [count(run("swappiness", f"44-{n}", *SWAPPINESS), "work.pswpin") for n in (0, 60, 100)]
    refaults = [count(run("swappiness", f"44-{n}", *SWAPPINESS), "work.workingset_refault") for n in (0, 60, 100)]
    assert swapped[0] == 0
    assert max(swapped) <= 20
    assert max(refaults) <= 1.05 * min(refaults)


def test_swappiness_acts_on_6_1() -> None:
    """Recorded (c2): 0, 9,492 and 12,965 pages."""
    none, all_in = (count(run("swappiness", f"61-{n}", *SWAPPINESS), "work.pswpin") for n in (0, 100))
    assert none == 0 < all_in


def test_devices_in_the_order_of_their_latencies() -> None:
    """One program waits for one request at a time: 130 us of a SATA SSD, 78 us of NVMe (data sheets)."""
    small = ("constants.size=12 MiB", "constants.accesses=600", "machine.ram=8 MiB")
    sata, nvme = (run("swap-devices", f"1-{name}", *small) for name in ("sata-ssd", "nvme"))
    misses = count(sata, "ru_majflt"), count(nvme, "ru_majflt")
    assert misses[0] == pytest.approx(misses[1], rel=0.1)
    each = [phases_of(result)["work"].elapsed_ns / result.vmstat["pgmajfault"] for result in (sata, nvme)]
    assert 1.3 < each[0] / each[1] < 2


NOISE = ("constants.size=1 MiB", "constants.rounds=60", "constants.noise=10 MiB", "constants.noise_accesses=3000", "machine.ram=8 MiB")


def test_mlocked_pages_don_t_notice_the_neighbour() -> None:
    """Pages on the unevictable list are not scanned, so nothing that is locked is ever read back."""
    faults = {row: count(run("noisy-neighbour", row, *NOISE), "serve.ru_majflt") for row in ("alone", "neighbour", "mlock", "onfault")}
    assert faults == {"alone": 0, "neighbour": faults["neighbour"], "mlock": 0, "onfault": 0}
    assert faults["neighbour"] > 0


# A file twice as large as memory, of which the accesses reach three tenths.
LOCKED = ("constants.size=32 MiB", "constants.accesses=3000", "sweep.RAM.values=[16 MiB]")


@pytest.mark.parametrize(
    ("row", "ends"),
    [("mlock", False), ("onfault", False), ("onfault-alone", True), ("each", True), ("segv-1", True), ("segv-16", False), ("plain", True)],
)
def test_locking_more_than_memory_ends_in_an_oom_kill_and_never_in_a_hang(row: str, ends: bool) -> None:
    """Recorded (4.4): the whole range, on fault, and batches of 16 end in a kill; on fault without fault-around and single pages don't."""
    result = run("lock-on-fault-pressure", f"{row}-16-mib-4_4", *LOCKED)
    assert result.stopped_by == (None if ends else "killed by the OOM killer")
