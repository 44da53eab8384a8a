"""Slices: however a program is cut, it does the same and takes the same CPU time."""

from __future__ import annotations

import random
from typing import Any

import pytest
from scenario import PAGE, mmap, start

from vmsim.machine.build import Built
from vmsim.machine.slices import GOES_ON
from vmsim.machine.switch import compiled_entries
from vmsim.machine.verify import verify
from vmsim.struct import files as f
from vmsim.struct import tasks as t
from vmsim.struct.kernel import SC_NR_NEW_BIOS
from vmsim.struct.ledger import L_RUNQ, NR_CPU_WORK

COUNTERS = [t.T_MIN_FLT, t.T_MAJ_FLT, t.T_NSIGNALS, t.T_NSYSCALLS, t.T_ACCESSES, t.T_EXIT]
HANDLER = [
    {"mprotect": {"addr": "at", "length": 4 * PAGE, "prot": ["PROT_READ", "PROT_WRITE"], "expect": "any"}},
    {"mlock": {"addr": "at", "length": PAGE}},
    {"compute": "700 ns"},
]
PROGRAM: list[dict[str, Any]] = [
    {"on_signal": {"signal": "SIGSEGV", "as": "at", "steps": HANDLER}},
    mmap(64 * PAGE, prot=["PROT_NONE"]),
    mmap(64 * PAGE, "f", file="data", prot=["PROT_READ"]),
    mmap(64 * PAGE, "l"),
    {"access": {"region": "m", "pattern": {"type": "uniform"}, "count": 150, "write_fraction": 0.5, "work": "30 ns"}},
    {"access": {"region": "f", "pattern": {"type": "zipf"}, "count": 150}},
    {"mlock": {"addr": "l", "length": 32 * PAGE}},
    {"compute": "20 us"},
    {
        "loop": {
            "count": 40,
            "steps": [
                {"draw": {"region": "l", "pattern": {"type": "hotcold"}, "as": "x"}},
                {"touch": {"addr": "x", "op": "write", "work": "90 ns"}},
                {"munlock": {"addr": "x", "length": PAGE}},
            ],
        }
    },
    {"munmap": {"addr": "f + 64 KiB", "length": "64 KiB"}},
]


def run_in_slices(budgets: Any) -> tuple[Built, int]:
    """Run the program in slices of the budgets drawn; reads are complete when their slice ends. The machine, and
    the slices.
    """
    built = start(PROGRAM, files={"data": {"size": 64 * PAGE}}, capabilities=["CAP_IPC_LOCK"], ram="32 MiB")
    kernel, now, column, slices = built.kernel, 0, L_RUNQ, 0
    entries = compiled_entries()
    handle = entries.handle(kernel)
    while True:
        done = entries.run_task(handle, 0, 1, now, now, column, now, budgets())
        assert done[0] >= now
        now, column, slices = int(done[0]), GOES_ON, slices + 1
        kernel.sc[SC_NR_NEW_BIOS] = 0
        for bio in (kernel.bio[:, f.B_STATE] != f.BIO_FREE).nonzero()[0].tolist():
            entries.complete_bio(handle, bio, 0)
        if done[1] == t.SLICE_EXIT:
            verify(kernel)
            return built, slices


@pytest.fixture(scope="module")
def uncut() -> Built:
    return run_in_slices(lambda: 1 << 60)[0]


@pytest.mark.parametrize("budget", [1, 100, 1_000, 10_000, "random"])
def test_slices_of_any_length_do_the_same(uncut: Built, budget: int | str) -> None:
    """Counters, ledger, vmstat, latency histogram and VMAs don't depend on where slices end."""
    draws = random.Random(7)
    built, slices = run_in_slices(lambda: draws.choice((1, 30, 200, 3000)) if budget == "random" else budget)
    assert slices > 10
    for table, rows in (
        ("task", (1, COUNTERS)),
        ("task_led", (1, slice(NR_CPU_WORK))),
        ("cpu_led", 0),
        ("vmstat", slice(None)),
        ("mm", 1),
    ):
        assert getattr(built.kernel, table)[rows].tolist() == getattr(uncut.kernel, table)[rows].tolist(), table
    assert (built.kernel.hist == uncut.kernel.hist).all()


def test_accesses_are_each_counted_once(uncut: Built) -> None:
    """150 + 150 + 40 accesses are in the latency histogram, whatever happened to each on the way."""
    assert uncut.kernel.task[1, t.T_ACCESSES] == 340
    assert uncut.kernel.hist.sum() == 340


def test_a_slice_ends_soon_after_its_budget(uncut: Built) -> None:
    """A slice of compute and hits overshoots by less than one access; nothing is split below that."""
    built = start([{"compute": "1 ms"}], image="none")
    entries = compiled_entries()
    handle = entries.handle(built.kernel)
    done = entries.run_task(handle, 0, 1, 0, 0, GOES_ON, 0, 250_000)
    assert (done[0], done[1]) == (250_000, t.SLICE_BUDGET)
    done = entries.run_task(handle, 0, 1, 250_000, 250_000, GOES_ON, 250_000, 1 << 60)
    assert (done[0], done[1]) == (1_000_000, t.SLICE_EXIT)
