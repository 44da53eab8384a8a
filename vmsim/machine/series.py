"""Counters over simulated time: of /proc/vmstat, of swap as in /proc/meminfo, and of block devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from vmsim.errors import VmsimError, unknown_name
from vmsim.machine.block import BlockDevice
from vmsim.machine.clock import Clock
from vmsim.machine.iostat import IoStat
from vmsim.machine.pressure import Pressure
from vmsim.machine.tables import KernelTables
from vmsim.spec.counters import DEVICE_COUNTERS, PSI_COUNTERS, SERIES_COUNTERS, SWAP_COUNTERS
from vmsim.struct.kernel import G_PAGE_SHIFT
from vmsim.struct.reclaim import N_SWAP_CACHE, N_SWAP_FREE
from vmsim.struct.vmstat import VMSTAT_NAMES
from vmsim.units import KIB, NS_PER_MS, format_duration

_SWAP: Final[Mapping[str, int]] = dict(zip(SWAP_COUNTERS, (N_SWAP_FREE, N_SWAP_CACHE), strict=True))
# Fields of /sys/block/DEVICE/stat (Documentation/block/stat.txt), and the bytes rather than sectors of 512.
_DEVICE: Final[Mapping[str, Callable[[IoStat, int], int]]] = dict(
    zip(
        DEVICE_COUNTERS,
        (
            lambda stat, now: stat.reads.requests,
            lambda stat, now: stat.reads.nbytes // KIB,
            lambda stat, now: stat.writes.requests,
            lambda stat, now: stat.writes.nbytes // KIB,
            lambda stat, now: stat.depth,
            lambda stat, now: stat.busy_ns(now) // NS_PER_MS,
            lambda stat, now: stat.depth_ns(now) // NS_PER_MS,
        ),
        strict=True,
    )
)

MOST_VALUES: Final = 10_000_000  # of one run, some hundred megabytes


class Series:
    """The counters `names`, sampled at 0, `interval_ns`, 2 `interval_ns`, … and at the end of the run.

    A name is one of /proc/vmstat, SwapFree or SwapCached (kB), or DEVICE.FIELD. A sample is a due event, so no slice
    reaches past it by more than one operation of the kernel. Raises VmsimError for an unknown counter or an interval that isn't positive.
    """

    def __init__(self, interval_ns: int, names: Sequence[str]) -> None:
        if interval_ns <= 0:
            raise VmsimError(f"the interval of a series is positive, got {interval_ns} ns")
        for name in names:
            if name not in SERIES_COUNTERS and name.rpartition(".")[2] not in DEVICE_COUNTERS:
                raise VmsimError(unknown_name("counter", name, SERIES_COUNTERS))
        self.interval_ns = interval_ns
        self.names = tuple(names)
        self.t_ns: list[int] = []
        self.rows: list[list[int]] = []  # values in the order of `names`, one row per time

    def attach(self, kernel: KernelTables, clock: Clock, devices: Sequence[BlockDevice] = (), pressure: Pressure | None = None) -> None:
        """Begin to sample. Raises VmsimError for a counter of a device that the machine doesn't have."""
        self._clock = clock
        self._readers = [_reader(name, kernel, clock, {device.name: device for device in devices}, pressure) for name in self.names]
        clock.at(clock.now, self._due, eventful=False)

    def sample(self) -> None:
        """One more row, for now."""
        now = self._clock.now
        if not self.t_ns or self.t_ns[-1] != now:
            if len(self.t_ns) * len(self.names) >= MOST_VALUES:
                told = f"a series of {len(self.t_ns):,} samples by {format_duration(now)}"
                raise VmsimError(f"{told}: outputs.series.interval, {format_duration(self.interval_ns)}, is too short for so long a run")
            self.t_ns.append(now)
            self.rows.append([read() for read in self._readers])

    def column(self, name: str) -> list[int]:
        """The values of one counter at the times `t_ns`."""
        index = self.names.index(name)
        return [row[index] for row in self.rows]

    def _due(self) -> None:
        self.sample()
        self._clock.at(self._clock.now + self.interval_ns, self._due, eventful=False)


def _reader(
    name: str, kernel: KernelTables, clock: Clock, devices: Mapping[str, BlockDevice], pressure: Pressure | None
) -> Callable[[], int]:
    """What reads a counter now."""
    if name in VMSTAT_NAMES:
        vmstat, index = kernel.vmstat, VMSTAT_NAMES.index(name)
        return lambda: int(vmstat[index])
    if name in _SWAP:
        node, column, shift = kernel.node, _SWAP[name], int(kernel.geo[G_PAGE_SHIFT]) - 10
        return lambda: int(node[column]) << shift
    if name in PSI_COUNTERS:
        return (lambda: pressure.total_us(name, clock.now)) if pressure is not None else lambda: 0
    device, _, field = name.rpartition(".")
    if device in devices and field in _DEVICE:
        stat, read = devices[device].stat, _DEVICE[field]
        return lambda: read(stat, clock.now)
    raise VmsimError(unknown_name("device", device, devices))
