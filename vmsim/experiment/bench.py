"""`vmsim bench`: the simulator's own speed on this machine, beside the floor of a bare page-table loop in the same run."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from vmsim.spec.load import make_experiment
from vmsim.struct import tasks as t
from vmsim.struct.jit import entry

Steps = list[dict[str, Any]]
UNIFORM = {"type": "uniform"}
ROUNDS = 3  # of a measurement
SHORT_ROUNDS = 12  # of one that takes a fraction of a second


@dataclass(frozen=True)
class Figure:
    """One measured cost: nanoseconds of the host's CPU time for each simulated operation, and the bound it should keep."""

    name: str
    ns: float
    bound_ns: float | None
    operations: int


@entry
def _floor(table, state, count):
    """The least that a random access can cost: draw a page, load its entry."""
    x = state
    total = 0
    for _ in range(count):
        x ^= x << 13
        x ^= (x >> 7) & ((1 << 57) - 1)
        x ^= x << 17
        total += table[((x >> 32) & 0xFFFFFFFF) * table.shape[0] >> 32]
    return total


def _access(count: int, op: str = "write") -> Steps:
    return [{"access": {"region": "map", "pattern": UNIFORM, "count": count, "op": op}}]


def _measure(
    setup: Steps, prepare: Steps, body: Steps, undo: Steps, size: int, cached: str, rounds: int = ROUNDS
) -> tuple[float, np.ndarray[Any, Any]]:
    """CPU seconds of the host for `body`, and the counters of the task, of one round.

    All rounds are those of one machine, each between `prepare` and `undo`, which aren't timed. The first one only fetches from the host
    the memory that the tables then keep; of the others the least disturbed counts.
    """
    from vmsim.machine.build import build

    timed = {"phase": {"name": "body", "steps": body}}
    experiment = make_experiment(
        {
            "title": "bench",
            "machine": {"ram": "16 GiB", "devices": {"sda": {"type": "nvme"}}},
            "kernel": {"version": "4.4", "sysctl": {"vm.max_map_count": 4_000_000}},
            "files": {"file": {"size": size, "cached": cached}},
            "tasks": [
                {
                    "name": "bench",
                    "capabilities": ["CAP_IPC_LOCK", "CAP_SYS_ADMIN"],
                    "program": [*setup, {"loop": {"count": rounds + 1, "steps": [*prepare, timed, *undo]}}],
                }
            ],
        }
    )
    built = build(experiment.runs[0])
    marks: list[float] = []
    built.machine.on_mark = lambda: marks.append(time.process_time())
    built.machine.run()
    row = built.kernel.task[1] // (rounds + 1)
    built.kernel.release()
    return min(end - begin for begin, end in zip(marks[2::2], marks[3::2], strict=True)), row


def _mapped(size: int, prot: str = "READ|WRITE") -> Steps:
    return [{"mmap": {"length": size, "prot": prot, "file": "file", "as": "map"}}]


def _figures(size: int, count: int) -> list[Callable[[], Figure]]:
    pages = size // 4096
    everything = [{"mlock": {"addr": "map", "length": size}}]
    unmap = [{"munmap": {"addr": "map", "length": size}}]
    page = {"draw": {"pattern": UNIFORM, "region": "map", "as": "addr"}}
    lock_one = {"mlock": {"addr": "addr", "length": 4096}}
    handler = {
        "on_signal": {
            "signal": "SIGSEGV",
            "as": "addr",
            "steps": [{"mprotect": {"addr": "addr", "length": 4096, "prot": "READ|WRITE"}}, lock_one],
        }
    }

    def floor() -> Figure:
        table = np.ones(pages, np.int64)
        _floor(table, 88172645463325252, 1)
        rounds = []
        for _ in range(ROUNDS):
            began = time.process_time()
            _floor(table, 88172645463325252, count)
            rounds.append(time.process_time() - began)
        return Figure("floor: a bare page-table loop", min(rounds) * 1e9 / count, None, count)

    def hits() -> Figure:
        seconds, _ = _measure(_mapped(size) + everything, [], _access(count), [], size, "all", SHORT_ROUNDS)
        return Figure("random access, every one a TLB miss", seconds * 1e9 / count, 12, count)

    def minor() -> Figure:
        anonymous = [{"mmap": {"length": size, "as": "map"}}]
        walk = [{"access": {"region": "map", "pattern": {"type": "sequential"}, "count": pages, "op": "write"}}]
        seconds, _ = _measure([], anonymous, walk, unmap, size, "none")
        return Figure("minor fault", seconds * 1e9 / pages, 250, pages)

    def mlock() -> Figure:
        loop = [{"loop": {"count": count, "steps": [page, lock_one]}}]
        seconds, _ = _measure(_mapped(size) + everything, [], loop, [], size, "all")
        return Figure("mlock of one page", seconds * 1e9 / count, 400, count)

    def signal() -> Figure:
        seconds, row = _measure([handler], _mapped(size, "NONE"), _access(3 * pages), unmap, size, "all")
        signals = int(row[t.T_NSIGNALS])
        return Figure("SIGSEGV, mprotect, mlock", seconds * 1e9 / signals, 2000, signals)

    def major() -> Figure:
        few = min(pages, 100_000)
        random = [{"madvise": {"addr": "map", "length": size, "advice": "RANDOM"}}]
        walk = [{"access": {"region": "map", "pattern": {"type": "stride", "stride": 33}, "count": few}}]
        forget = [*unmap, {"sysctl": {"name": "vm.drop_caches", "value": 3}}]
        seconds, row = _measure([], _mapped(size, "READ") + random, walk, forget, size, "none")
        faults = int(row[t.T_MAJ_FLT])
        return Figure("major fault through the device", seconds * 1e9 / max(faults, 1), 15_000, faults)

    return [floor, hits, minor, mlock, signal, major]


def _large() -> list[Callable[[], Figure]]:
    from vmsim.experiment.bench_large import Measured, large

    def figure(measure: Callable[[], Measured]) -> Figure:
        return Figure(*measure())

    return [partial(figure, measure) for measure in large()]


def main(words: list[str]) -> int:
    """Measure and print; `--json` for machines, `--quick` for a tenth of the size. Exit status 0."""
    parser = argparse.ArgumentParser(prog="vmsim bench", description="measure vmsim's own speed on this machine")
    parser.add_argument("--json", action="store_true", help="print a list of objects")
    parser.add_argument("--large", action="store_true", help="memory of a server, and memory that is too short; needs 5 GiB")
    parser.add_argument("--quick", action="store_true", help="a 512 MiB mapping instead of 5 GiB")
    options = parser.parse_args(words)
    from vmsim.machine import warm_up

    warm_up()
    size, count = (512 << 20, 1_500_000) if options.quick else (5 << 30, 15_000_000)
    figures = []
    for measure in _large() if options.large else _figures(size, count):
        figures.append(measure())
        if not options.json:
            figure = figures[-1]
            bound = f"bound {figure.bound_ns:,.0f} ns" if figure.bound_ns else ""
            print(f"{figure.name:40} {figure.ns:10,.1f} ns  {bound}", flush=True)
    if options.json:
        print(json.dumps([asdict(figure) for figure in figures], indent=1))
    return 0
