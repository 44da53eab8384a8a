"""Counters over simulated time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vmsim.errors import VmsimError, unknown_name
from vmsim.machine.clock import Clock
from vmsim.machine.tables import KernelTables
from vmsim.struct.vmstat import VMSTAT_NAMES


class Series:
    """The vmstat counters `names`, sampled at 0, `interval_ns`, 2 `interval_ns`, … and at the end of the run.

    A sample is a due event, so no slice reaches past it by more than one operation of the kernel. Raises VmsimError for
    an unknown counter or an interval that isn't positive.
    """

    def __init__(self, interval_ns: int, names: Sequence[str]) -> None:
        if interval_ns <= 0:
            raise VmsimError(f"the interval of a series is positive, got {interval_ns} ns")
        for name in names:
            if name not in VMSTAT_NAMES:
                raise VmsimError(unknown_name("counter", name, VMSTAT_NAMES))
        self.interval_ns = interval_ns
        self.names = tuple(names)
        self.t_ns: list[int] = []
        self.rows: list[list[int]] = []  # values in the order of `names`, one row per time
        self._indexes = np.array([VMSTAT_NAMES.index(name) for name in names], np.intp)

    def attach(self, kernel: KernelTables, clock: Clock) -> None:
        """Begin to sample."""
        self._vmstat = kernel.vmstat
        self._clock = clock
        clock.at(clock.now, self._due, eventful=False)

    def sample(self) -> None:
        """One more row, for now."""
        now = self._clock.now
        if not self.t_ns or self.t_ns[-1] != now:
            self.t_ns.append(now)
            self.rows.append(self._vmstat[self._indexes].tolist())

    def column(self, name: str) -> list[int]:
        """The values of one counter at the times `t_ns`."""
        index = self.names.index(name)
        return [row[index] for row in self.rows]

    def _due(self) -> None:
        self.sample()
        self._clock.at(self._clock.now + self.interval_ns, self._due, eventful=False)
