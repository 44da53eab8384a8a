"""The SimPy side of a simulated machine: CPUs, scheduler, devices, time."""

from __future__ import annotations


def warm_up() -> None:
    """Compile every entry point (or load it from the cache), by building and running a machine of a few pages."""
    from vmsim.machine.build import build
    from vmsim.spec.experiment import ResolvedRun
    from vmsim.struct.jit import mark_cache_warm

    run = ResolvedRun.model_validate(
        {
            "row_id": "warm-up",
            "row_name": "warm-up",
            "machine": {"ram": "1 MiB", "devices": {"sda": {"type": "nvme"}}},
            "files": {"file": {"size": "64 KiB", "cached": "50 %"}},
            "tasks": [
                {
                    "name": "task",
                    "image": "none",
                    "program": [
                        {"mmap": {"length": "64 KiB", "prot": ["READ"], "file": "file", "as": "map"}},
                        {"access": {"region": "map", "pattern": {"type": "zipf"}, "count": 20}},
                    ],
                }
            ],
        }
    )
    build(run).machine.run()
    mark_cache_warm()
