"""On one CPU of a 6.1 that preempts voluntarily, kswapd runs between two pages of a window as soon as one of them has woken it.

page_alloc.c of v6.1: might_alloc at the begin of each allocation. So a reader that reads ahead hardly ever reclaims for itself: recorded on
Debian's 6.1.176, 226 of 54,138 pages were stolen by the reader (64 KiB at a time, twice over a file of 128 MiB, 123 MiB of anonymous
memory in 256 MiB).
"""

import pytest
from scenario import PAGE, Outcome, finish, mmap, phase, run, start, sweep

from vmsim.struct.files import FI_RA_REST

ANON = 31612
PIECES = 4096


def read_twice(preempted: bool) -> Outcome:
    touch = {"region": "m", "pattern": {"type": "sequential"}, "count": ANON, "op": "write"}
    some = {"region": "m", "pattern": {"type": "uniform", "generator": "xorshift64", "state": 88172645463325252}, "count": 4}
    read = {"pread": {"file": "big", "length": 16 * PAGE, "offset": f"(round % {PIECES // 2}) * {16 * PAGE}"}}
    program = [
        {"mmap": {"length": ANON * PAGE, "prot": ["PROT_READ", "PROT_WRITE"], "flags": ["MAP_PRIVATE", "MAP_ANONYMOUS"], "as": "m"}},
        {"access": touch},
        {"loop": {"count": PIECES, "as": "round", "steps": [read, {"access": {**some, "write_fraction": 0.5}}]}},
    ]
    return run(
        program, version="6.1", rules={"readahead_is_preempted": preempted}, ram="256 MiB", image="none",
        files={"big": {"size": "1100 MiB", "fs": "ext2"}}, swap={"device": "sda", "size": "1 GiB"},
    )  # fmt: skip


def stolen(outcome: Outcome, by: str) -> int:
    return sum(outcome.vmstat(f"pgsteal_{by}_{zone}") for zone in ("dma", "dma32"))


@pytest.mark.slow_without_jit
def test_a_reader_hardly_reclaims_for_itself() -> None:
    outcome = read_twice(preempted=True)
    assert stolen(outcome, "kswapd") > 40_000
    assert stolen(outcome, "direct") < stolen(outcome, "kswapd") / 50
    assert stolen(read_twice(preempted=False), "direct") > 4 * stolen(outcome, "direct")


def test_a_call_reads_all_of_its_window() -> None:
    """What is left of a window when kswapd comes between is read before the call returns, not by the next one."""
    read = {"pread": {"file": "big", "length": PAGE, "offset": f"round * {PAGE}"}}
    built = start(
        [mmap("20 MiB"), sweep(count=5120, op="write"), {"loop": {"count": 8000, "as": "round", "steps": [phase("call", read)]}}],
        version="6.1", ram="32 MiB", image="none", files={"big": {"size": "64 MiB"}},
    )  # fmt: skip
    left: list[int] = []
    built.machine.on_mark = lambda: left.append(int(built.kernel.file[built.file_ids["big"], FI_RA_REST]))
    outcome = finish(built)
    assert stolen(outcome, "kswapd") > 2000
    assert len(left) == 2 * 8000
    assert not any(left)
