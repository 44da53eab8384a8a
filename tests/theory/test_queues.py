"""The simulated queue before a device against queueing theory, with arrivals that know nothing of the kernel.

Bounds are four standard errors, estimated from batches of the run itself (batch means, Law and Kelton, Simulation
Modeling and Analysis, ch. 9), plus a rounding of half a nanosecond where times are drawn.
"""

from __future__ import annotations

import numpy as np
import pytest

from vmsim.hw.device import make_device_model
from vmsim.machine.block import BlockDevice
from vmsim.machine.clock import Clock
from vmsim.machine.iostat import Served

SERVICE_NS = 100_000
REQUESTS = 40_000
BATCHES = 40


class Station:
    """Poisson arrivals at a flash device with `channels` and no transfer time; `waits` of each request in its order."""

    def __init__(self, load: float, shape: dict[str, object], channels: int = 1, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        parameters = {
            "queue_depth": channels, "channels": channels, "read_latency": SERVICE_NS, "write_latency": SERVICE_NS,
            "bandwidth_read": 10**18, "bandwidth_write": 10**18, "latency": shape,
        }  # fmt: skip
        self.clock = Clock()
        self.device = BlockDevice("sda", make_device_model("sata-ssd", parameters, rng.spawn(1)[0]), 4096)
        self.device.attach(self.clock, self._done)
        self.waits: list[int] = []
        self.times: list[int] = []
        self.seen: list[int] = []  # requests in the station as each arrival finds it
        self.interarrival_ns = SERVICE_NS / (load * channels)
        self._left = rng.exponential(self.interarrival_ns, REQUESTS).round().astype(int).tolist()
        self._next()
        self.clock.run()

    def _next(self) -> None:
        if self._left:
            self.clock.at(self.clock.now + self._left.pop(), self._arrive)

    def _arrive(self) -> None:
        self.seen.append(self.device.stat.depth)
        self.device.submit((len(self.seen), 0, 3 * len(self.seen), 1))  # never adjacent, so never merged
        self._next()

    def _done(self, device: object, bios: object, served: Served, now: int) -> None:
        *_, arrived_ns, started_ns = served
        self.waits.append(started_ns - arrived_ns)
        self.times.append(now - arrived_ns)


def agrees(values: list[int], expected: float) -> bool:
    """Whether the mean of a stationary sequence is the expected one, within four standard errors."""
    batches = np.asarray(values[len(values) // 10 :], float)
    batches = batches[: len(batches) // BATCHES * BATCHES].reshape(BATCHES, -1).mean(axis=1)
    error = batches.std(ddof=1) / np.sqrt(BATCHES)
    return abs(batches.mean() - expected) < 4 * error + 0.5


def erlang_c(servers: int, load: float) -> float:
    """Probability that an arrival has to wait at an M/M/c station."""
    offered = servers * load
    below = sum(np.prod([offered / i for i in range(1, n + 1)]) for n in range(servers))
    all_busy = np.prod([offered / i for i in range(1, servers + 1)]) / (1 - load)
    return float(all_busy / (below + all_busy))


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_m_m_1_mean_wait(load):
    """W_q = S rho / (1 - rho)."""
    station = Station(load, {"type": "exponential", "fixed": 0.0})
    assert agrees(station.waits, SERVICE_NS * load / (1 - load))


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_m_d_1_mean_wait(load):
    """Half of M/M/1: W_q = S rho / (2 (1 - rho)) (Pollaczek and Khinchine)."""
    station = Station(load, {"type": "constant"})
    assert agrees(station.waits, SERVICE_NS * load / (2 * (1 - load)))


@pytest.mark.parametrize("sigma", [0.4, 0.8])
def test_m_g_1_mean_wait(sigma):
    """W_q = S rho (1 + c^2) / (2 (1 - rho)), with c^2 = exp(sigma^2) - 1 for lognormal service."""
    station = Station(0.6, {"type": "lognormal", "sigma": sigma})
    assert agrees(station.waits, SERVICE_NS * 0.6 * np.exp(sigma * sigma) / (2 * 0.4))


@pytest.mark.parametrize(("channels", "load"), [(2, 0.7), (8, 0.9)])
def test_m_m_c_mean_wait(channels, load):
    """W_q = C(c, rho) S / (c (1 - rho)) (Erlang)."""
    station = Station(load, {"type": "exponential", "fixed": 0.0}, channels)
    assert agrees(station.waits, erlang_c(channels, load) * SERVICE_NS / (channels * (1 - load)))


@pytest.mark.parametrize(
    "shape", [{"type": "exponential", "fixed": 0.0}, {"type": "constant"}, {"type": "uniform", "spread": 0.9}]
)
def test_little(shape):
    """L = lambda W: the depth on time average, which Poisson arrivals see (PASTA), is rate times mean time."""
    station = Station(0.7, shape)
    stat, now = station.device.stat, station.clock.now
    rate = len(station.times) / now
    assert stat.depth_ns(now) / now == pytest.approx(rate * np.mean(station.times), rel=1e-9)
    assert agrees(station.seen, rate * float(np.mean(station.times)))


@pytest.mark.parametrize("load", [0.3, 0.8])
def test_a_device_is_busy_as_much_as_it_has_work(load):
    """Utilisation rho = lambda S, whatever the distributions."""
    station = Station(load, {"type": "exponential", "fixed": 0.0})
    stat, now = station.device.stat, station.clock.now
    assert stat.busy_ns(now) == stat.reads.service_ns  # one channel, so what is busy is serving
    assert stat.busy_ns(now) / now == pytest.approx(load, rel=4 * 2 / np.sqrt(REQUESTS))


def test_depths_of_m_m_1_are_geometric():
    """P(n) = (1 - rho) rho^n, seen by Poisson arrivals."""
    station = Station(0.6, {"type": "exponential", "fixed": 0.0})
    for n in range(5):
        assert agrees([int(depth == n) * 10**6 for depth in station.seen], 10**6 * 0.4 * 0.6**n)
