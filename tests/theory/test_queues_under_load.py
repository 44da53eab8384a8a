"""More of queueing theory at the simulated block layer: writes, mixtures, NVMe's channels, the elevator, merging.

As in `test_queues`, a mean agrees if it is within four standard errors (batch means) of what a formula says.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from theory.test_queues import BATCHES, agrees, erlang_c

from vmsim.hw.device import make_device_model
from vmsim.machine.block import BlockDevice
from vmsim.machine.clock import Clock
from vmsim.machine.elevator import Fifo

PAGE = 4096
DISK = {
    "size": 10**12, "rpm": 7200, "seek_min": 10**6, "seek_avg": 8_500_000, "seek_max": 18_000_000,
    "transfer_rate": 130_000_000, "cylinders": 320_800,
}  # fmt: skip
FLASH = {"bandwidth_read": 10**18, "bandwidth_write": 10**18, "queue_depth": 1024}


class Queue:
    """Poisson arrivals of `requests` single pages, at random places, a share `writes` of them writes."""

    def __init__(self, model, interarrival_ns, requests, writes=0.0, seed=3, elevator=None):
        rng = np.random.default_rng(seed)
        self.clock = Clock()
        self.device = BlockDevice("sda", model, PAGE)
        if elevator is not None:
            self.device._elevator = elevator
        self.device.attach(self.clock, self._done)
        self.done = []  # (arrival, start, end, write)
        self.depths = []
        gaps = rng.exponential(interarrival_ns, requests).round().astype(int).tolist()
        places = (2 * rng.integers(0, DISK["size"] // PAGE // 2, requests)).tolist()  # no two adjacent
        self._next = iter(list(zip(gaps, places, (rng.random(requests) < writes).tolist(), strict=True)))
        self._schedule()
        self.clock.run()

    def _schedule(self):
        arrival = next(self._next, None)
        if arrival is not None:
            self.clock.at(self.clock.now + arrival[0], lambda: self._arrive(arrival[1], arrival[2]))

    def _arrive(self, place, write):
        self.depths.append(self.device.stat.depth)
        self.device.submit((1, int(write), place, 1))
        self._schedule()

    def _done(self, device, bios, served, now):
        write, _, _, arrived_ns, started_ns = served
        self.done.append((arrived_ns, started_ns, now, write))

    def waits(self):
        return [start - arrived for arrived, start, _, _ in self.done]

    def times(self):
        return [end - arrived for arrived, _, end, _ in self.done]

    def services(self):
        return [end - start for _, start, end, _ in self.done]


def model(name, seed=1, **parameters):
    return make_device_model(name, {**(DISK if name == "hdd" else FLASH), **parameters}, np.random.default_rng(seed))


@pytest.mark.parametrize("shape", [{"type": "exponential", "fixed": 0.0}, {"type": "constant"}])
@pytest.mark.parametrize("load", [0.5, 0.8])
def test_reads_and_writes_share_one_server(shape, load):
    """M/G/1 with a mixture of two services: W_q = lambda E[S^2] / (2 (1 - rho)) (Pollaczek and Khinchine)."""
    reads, writes = 60_000, 140_000
    factor = 2 if shape["type"] == "exponential" else 1  # E[S^2] / E[S]^2
    second = 0.5 * factor * (reads**2 + writes**2)
    interarrival = 0.5 * (reads + writes) / load
    flash = model("sata-ssd", queue_depth=1, channels=1, read_latency=reads, write_latency=writes, latency=shape)
    queue = Queue(flash, interarrival, 40_000, writes=0.5)
    assert agrees(queue.waits(), second / interarrival / (2 * (1 - load)))


@pytest.mark.parametrize(("channels", "load"), [(4, 0.8), (36, 0.9)])
def test_channels_of_nvme_are_servers(channels, load):
    """M/M/c inside the device, whose queue takes all: T = S + C(c, rho) S / (c (1 - rho)) (Erlang)."""
    service = 78_000
    nvme = model(
        "nvme", channels=channels, read_latency=service, write_latency=service, latency={"type": "exponential", "fixed": 0.0}
    )  # fmt: skip
    queue = Queue(nvme, service / (channels * load), 60_000)
    assert queue.device.stat.depth == 0
    assert agrees(queue.times(), service + erlang_c(channels, load) * service / (channels * (1 - load)))


def test_disk_in_order_of_arrival_is_m_g_1():
    """Seeks and turns between random places don't depend on one another, so Pollaczek and Khinchine hold with their moments.

    The moments are those of a sweep over random places without a queue; their own error adds to that of the run.
    """
    rng = np.random.default_rng(9)
    alone = model("hdd", seed=8)
    now, services = 0, []
    for place in rng.integers(0, DISK["size"] // PAGE, 20_000).tolist():
        end = alone.finish_ns(now, 0, place * PAGE, PAGE)
        services.append(end - now)
        now = end + int(rng.integers(0, 10**7))
    mean, second = float(np.mean(services)), float(np.mean(np.square(np.asarray(services, float))))
    for load in (0.3, 0.6):
        queue = Queue(model("hdd"), mean / load, 20_000, elevator=Fifo())
        expected = load * second / mean / (2 * (1 - load))
        assert agrees(queue.services(), mean)
        assert agrees(queue.waits(), expected)


def test_elevator_shortens_seeks_under_load():
    """Same arrivals, more than the disk can serve in their order: sorted by place it keeps up, by shorter seeks alone."""
    interarrival = 0.95 * (8_500_000 + 4_170_000)
    requests = 8000
    fifo = Queue(model("hdd"), interarrival, requests, elevator=Fifo())
    swept = Queue(model("hdd"), interarrival, requests)
    batches = [np.asarray(queue.services()).reshape(BATCHES, -1).mean(axis=1) for queue in (fifo, swept)]
    gain = batches[0] - batches[1]
    assert gain.mean() - 4 * gain.std(ddof=1) / np.sqrt(BATCHES) > 10**6  # more than 1 ms a request, with certainty
    assert np.mean(swept.times()) < np.mean(fifo.times()) / 2
    assert sorted(end for _, _, end, _ in swept.done) == [end for _, _, end, _ in swept.done]


@pytest.mark.parametrize("elevator", [None, Fifo()])
def test_little_whatever_the_order(elevator):
    """L = lambda W doesn't ask in which order requests are served."""
    queue = Queue(model("hdd"), 14_000_000, 4000, writes=0.3, elevator=elevator)
    now = queue.clock.now
    rate = len(queue.done) / now
    assert queue.device.stat.depth_ns(now) / now == pytest.approx(rate * np.mean(queue.times()), rel=1e-9)


def extent(bios):
    """The first page of a request, and the one after its last."""
    return min(first for _, _, first, _ in bios), max(first + pages for _, _, first, pages in bios)


def requests_of(order, plug):
    """How many requests become of pages submitted in this order, while the device is busy; `plug`: all at once."""
    clock = Clock()
    flash = model("sata-ssd", queue_depth=1, channels=1, read_latency=10**6, write_latency=10**6, latency={"type": "constant"})
    device = BlockDevice("sda", flash, PAGE)
    done = []
    device.attach(clock, lambda device, bios, served, now: done.append(extent(bios)))
    device.submit((0, 0, 10**6, 1))
    bios = [(i, 0, page, 1) for i, page in enumerate(order)]
    if plug:
        device.submit_plug(bios)
    else:
        for bio in bios:
            device.submit(bio)
    clock.run()
    pages = sorted(done)[:-1]
    assert sum(end - first for first, end in pages) == len(order)
    assert all(before[1] <= after[0] for before, after in pairwise(pages))
    return len(pages)


@pytest.mark.parametrize("plug", [False, True])
def test_merging_of_pages_in_random_order(plug):
    """A page begins a request of its own if both of its neighbours come after it: of n pages (n + 1) / 3 do on average,
    with variance 2 (n + 1) / 45 (local minima of a random permutation, the ends included; n > 3).
    """
    n, repeats = 60, 400
    rng = np.random.default_rng(5)
    counts = [requests_of(rng.permutation(n).tolist(), plug) for _ in range(repeats)]
    assert np.mean(counts) == pytest.approx((n + 1) / 3, abs=4 * np.sqrt(2 * (n + 1) / 45 / repeats))


def test_a_plug_of_adjacent_pages_is_one_request():
    """Sixteen pages in a row: one request and one latency instead of sixteen; beyond 1280 KiB a second one begins."""
    assert requests_of(range(16), plug=True) == 1
    assert requests_of(range(15, -1, -1), plug=True) == 1
    assert requests_of(range(0, 32, 2), plug=True) == 16
    assert requests_of(range(320), plug=True) == 1
    assert requests_of(range(321), plug=True) == 2
