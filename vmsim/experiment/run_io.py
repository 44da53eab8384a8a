"""What a run leaves behind of its devices and of its reclaim: who freed whose pages."""

from __future__ import annotations

from collections.abc import Iterator

from vmsim.experiment.record import DeviceRecord, ReclaimRecord
from vmsim.machine.build import Built
from vmsim.struct import kernel as kn
from vmsim.struct.histogram import bucket_bounds
from vmsim.struct.tasks import T_MM

NOBODY, TASK, FILE = "nobody", "task", "file"


def device_records(built: Built, now_ns: int) -> tuple[DeviceRecord, ...]:
    """Of each device and direction what was done by now, those with no requests left out."""
    records = []
    for device in built.machine.devices:
        stat = device.stat
        for direction, done in (("read", stat.reads), ("write", stat.writes)):
            if done.requests:
                bounds = [bucket_bounds(bucket) for bucket in done.latencies()]
                low, high = tuple(int(b[0]) for b in bounds), tuple(int(b[1]) for b in bounds)
                records.append(
                    DeviceRecord(
                        device.name,
                        direction,
                        done.requests,
                        done.bios,
                        done.nbytes,
                        done.errors,
                        done.latency_ns,
                        done.latency_max_ns,
                        done.service_ns,
                        stat.busy_ns(now_ns),
                        low,
                        high,
                        tuple(done.latencies().values()),
                    )  # fmt: skip
                )
    return tuple(records)


def reclaim_records(built: Built) -> tuple[ReclaimRecord, ...]:
    """Pages that reclaim freed, by the task that ran it (kswapd0, or one that had to for itself) and by whose they were."""
    kernel = built.kernel
    mms, files = int(kernel.sc[kn.SC_MM_ROWS]), int(kernel.sc[kn.SC_FILE_ROWS])
    table = kernel.reclaimed.reshape(-1, mms + files)
    tasks = [built.machine.tasks[tid] for tid in sorted(built.machine.tasks)]
    owners = {0: (NOBODY, "")}
    for task in tasks:
        owners.setdefault(int(kernel.task[task.tid, T_MM]), (TASK, task.name))
    owners.update({mms + number: (FILE, name.strip()) for name, number in built.file_ids.items()})
    return tuple(
        ReclaimRecord(task.name, *owners.get(owner, (FILE, f"file {owner - mms}")), pages)
        for task in tasks
        for owner, pages in _counted(table[task.tid].tolist())
    )


def _counted(row: list[int]) -> Iterator[tuple[int, int]]:
    return ((owner, pages) for owner, pages in enumerate(row) if pages)
