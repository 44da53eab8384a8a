"""`vmsim bench --large`: a server's memory, and memory that is too short; it takes 5 GiB of the host's."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from vmsim.machine.ending import UNTIL
from vmsim.spec.load import make_experiment
from vmsim.struct import tasks as t
from vmsim.units import NS_PER_S

Measured = tuple[str, float, float | None, int]  # name, ns of CPU time for each operation, bound, operations
BOOT_BOUND_NS: Final = 10e9
THRASHING_BOUND_NS: Final = 15_000.0
_ACCESSES = 20_000_000


def _machine(ram: str, program: list[dict[str, Any]], **more: Any) -> Any:
    from vmsim.machine.build import build

    machine = {"ram": ram, "devices": {"sda": {"type": "nvme"}}, **more}
    experiment = make_experiment(
        {"title": "bench", "machine": machine, "kernel": {"version": "4.4"}, "tasks": [{"name": "bench", "program": program}]}
    )
    return build(experiment.runs[0])


def boot() -> Measured:
    """A machine of 1 TiB, up to where its first program starts."""
    began = time.process_time()
    built = _machine("1 TiB", [{"exit": {}}])
    seconds = time.process_time() - began
    built.kernel.release()
    return "boot of a machine of 1 TiB", seconds * 1e9, BOOT_BOUND_NS, 1


def access(size: str) -> Measured:
    """Random reads of so much populated anonymous memory, in a machine of 1 TiB."""
    flags = ["MAP_PRIVATE", "MAP_ANONYMOUS", "MAP_POPULATE"]
    read = {"access": {"region": "map", "pattern": {"type": "uniform"}, "count": _ACCESSES}}
    built = _machine("1 TiB", [{"mmap": {"as": "map", "length": size, "flags": flags}}, {"sleep": "1 us"}, read])
    _run_to_sleep(built)
    began = time.process_time()
    built.machine.run()
    seconds = time.process_time() - began
    built.kernel.release()
    gc.collect()
    return f"random access, {size} of 1 TiB", seconds * 1e9 / _ACCESSES, None, _ACCESSES


def _run_to_sleep(built: Any) -> None:
    """Let the program come to where its memory is populated."""
    machine = built.machine
    while not built.kernel.task[1, t.T_ACCESSES] and machine.run(until_ns=machine.clock.now + NS_PER_S // 10).reason == UNTIL:
        pass


def thrashing() -> Measured:
    """Major faults of a program whose anonymous memory is a tenth more than there is: one fault, its read, and reclaim for it."""
    write = {"region": "map", "op": "write"}
    program: list[dict[str, Any]] = [
        {"mmap": {"as": "map", "length": "280 MiB"}},
        {"access": {**write, "pattern": {"type": "sequential"}, "count": 280 * 256}},
        {"access": {**write, "pattern": {"type": "uniform"}, "count": 500_000}},
    ]
    built = _machine("256 MiB", program, swap={"device": "sda", "size": "1 GiB"})
    began = time.process_time()
    built.machine.run()
    seconds = time.process_time() - began
    faults = int(built.kernel.task[1, t.T_MAJ_FLT])
    built.kernel.release()
    return "major fault from swap, reclaim with it", seconds * 1e9 / max(faults, 1), THRASHING_BOUND_NS, faults


def large() -> Iterator[Callable[[], Measured]]:
    """What is measured, in this order."""
    yield thrashing
    yield boot
    for size in ("1 GiB", "16 GiB", "256 GiB"):
        yield partial(access, size)
