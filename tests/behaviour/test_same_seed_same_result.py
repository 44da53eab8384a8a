"""The same scenario and seed give the same result to the last bit, in any process, compiled or not; another seed
another one.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from scenario import PAGE, Outcome, mmap, run, sweep

TABLES = ("task", "task_led", "cpu_led", "vmstat", "mm", "hist", "reg")


def result_hash(outcome: Outcome) -> str:
    """A hash of all that a run counts."""
    digest = hashlib.sha256(str(int(outcome.ending.now_ns)).encode())
    for name in TABLES:
        digest.update(getattr(outcome.built.kernel, name).tobytes())
    return digest.hexdigest()


def one_run(seed: int) -> str:
    """Two tasks on two CPUs with a cold file on a disk with random latencies: all that draws random numbers."""
    reader = {"region": "m", "count": 200, "pattern": {"type": "uniform"}}
    walker = {"region": "w", "count": 400, "pattern": {"type": "graph"}, "write_fraction": 0.3}
    tasks = [
        {
            "name": "reader",
            "count": 2,
            "program": [mmap(800 * PAGE, file="data", prot=["PROT_READ"]), {"access": reader}],
        },
        {"name": "walker", "program": [mmap(300 * PAGE, "w"), {"access": walker}, sweep("w", 50)]},
    ]
    return result_hash(run(tasks=tasks, cpus=2, files={"data": {"size": 800 * PAGE}}, devices={"sda": {"type": "hdd"}}, seed=seed))


def in_another_process(seed: int, **environment: str) -> str:
    tests = Path(__file__).resolve().parent.parent
    path = os.pathsep.join((str(tests.parent), str(tests), str(Path(__file__).parent)))
    code = f"from test_same_seed_same_result import one_run; print(one_run({seed}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_in_one_process() -> None:
    assert one_run(1) == one_run(1)
    assert len({one_run(seed) for seed in (1, 2, 3)}) == 3


def test_in_another_process() -> None:
    """Another hash seed, and without compilation."""
    assert in_another_process(5, PYTHONHASHSEED="7", NUMBA_DISABLE_JIT="1") == one_run(5)
