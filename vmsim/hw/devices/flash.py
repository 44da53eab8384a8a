"""What flash devices have in common: channels that work side by side, and one link that all data crosses."""

from __future__ import annotations

from heapq import heapreplace

import numpy as np

from vmsim.hw.device import Latency, Parameters, make_latency
from vmsim.units import NS_PER_S


class Flash:
    """A request waits for a channel, spends its latency there, and its data crosses the link at its bandwidth.

    Model: the link's share of the work is reckoned from the moment a request is handed over, so that it is never idle
    while it has work and no request waits for one that came after it; garbage collection and write caches are not
    modelled.
    """

    __slots__ = ("depth", "rotational", "_latency", "_bandwidth", "_channels", "_link_free")

    def __init__(self, parameters: Parameters, rng: np.random.Generator) -> None:
        self.depth: int = parameters["queue_depth"]
        self.rotational = False
        self._bandwidth: tuple[int, int] = (parameters["bandwidth_read"], parameters["bandwidth_write"])
        self._channels = [0] * parameters["channels"]  # a heap of the times at which each falls free
        self._link_free = 0
        reads, writes = rng.spawn(2)
        self._latency = (_latency(parameters, "read", reads), _latency(parameters, "write", writes))

    def finish_ns(self, now_ns: int, write: int, first: int, nbytes: int) -> int:
        """The time at which a request handed over at `now_ns` is done."""
        channels = self._channels
        free = channels[0]
        ready = (free if free > now_ns else now_ns) + self._latency[write].next_ns()
        heapreplace(channels, ready)
        transfer = nbytes * NS_PER_S // self._bandwidth[write]
        link = self._link_free
        self._link_free = link = (link if link > now_ns else now_ns) + transfer
        ready += transfer
        return ready if ready > link else link


def _latency(parameters: Parameters, direction: str, rng: np.random.Generator) -> Latency:
    shape = parameters["latency"]
    if shape["type"] == "empirical":
        measured = shape.get(direction) or shape["read"]
        return make_latency(0, {"type": "empirical", "quantiles": measured}, rng)
    return make_latency(parameters[f"{direction}_latency"], shape, rng)
