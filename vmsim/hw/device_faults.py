"""Devices that fail: transfers that end in an error, and a model that stands still for a while."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vmsim.hw.device import DeviceModel

NEVER: Final = 1 << 62  # ns: a time that doesn't come


@dataclass(frozen=True)
class BadTransfers:
    """Transfers in the directions `writes` (0 read, 1 write) that touch bytes [first, end) and complete in [from_ns, until_ns)."""

    writes: tuple[int, ...]
    rate: float  # share of them that fails
    first: int
    end: int
    from_ns: int
    until_ns: int


class FailingTransfers:
    """Whether a transfer of pages fails, by a list of what does. Draws a number only where the answer is not certain."""

    def __init__(self, bad: Sequence[BadTransfers], page_bytes: int, rng: np.random.Generator) -> None:
        self._bad = tuple(bad)
        self._page_bytes = page_bytes
        self._rng = rng

    def __call__(self, now_ns: int, write: int, first: int, pages: int) -> bool:
        """Whether the transfer of these pages of the device, which completes at `now_ns`, fails."""
        start, end = first * self._page_bytes, (first + pages) * self._page_bytes
        for bad in self._bad:
            touched = start < bad.end and bad.first < end
            if write in bad.writes and touched and bad.from_ns <= now_ns < bad.until_ns:
                if bad.rate >= 1 or self._rng.random() < bad.rate:
                    return True
        return False


class StallingModel:
    """A device model whose time stands still during `stalls`, (from, for) in ns, in their order and apart.

    What it holds when a stall begins is done later by the stall's length, and so is what comes in it.
    """

    __slots__ = ("depth", "rotational", "_model", "_begins", "_lengths", "_inner", "_lost")

    def __init__(self, model: DeviceModel, stalls: Sequence[tuple[int, int]]) -> None:
        self.depth = model.depth
        self.rotational = model.rotational
        self._model = model
        self._begins = [begin for begin, _ in stalls]
        self._lengths = [length for _, length in stalls]
        self._lost = [0]  # time lost in the stalls before each, and in all
        for length in self._lengths:
            self._lost.append(self._lost[-1] + length)
        self._inner = [begin - lost for begin, lost in zip(self._begins, self._lost, strict=False)]  # when each begins, in the model's time

    def finish_ns(self, now_ns: int, write: int, first: int, nbytes: int) -> int:
        """The time at which a request handed over at `now_ns` is done: NEVER or later for one that never is."""
        begun = bisect_right(self._begins, now_ns)
        inner = now_ns
        if begun:
            inner = self._inner[begun - 1] + max(now_ns - self._begins[begun - 1] - self._lengths[begun - 1], 0)
        finish = max(self._model.finish_ns(inner, write, first, nbytes), inner + 1)
        stalled = sum(1 for begin in self._inner if begin < finish)
        return finish + self._lost[stalled]
