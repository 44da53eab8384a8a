"""The queue before a device: order, merging, errors, and what is counted."""

from __future__ import annotations

from types import FunctionType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_lab import FixedModel

from vmsim.hw.device import make_device_model
from vmsim.machine.block import BlockDevice
from vmsim.machine.clock import Clock
from vmsim.machine.elevator import Deadline, Fifo, Request
from vmsim.struct.histogram import bucket_bounds
from vmsim.units import NS_PER_MS, NS_PER_S

MAX_PAGES = 1280 // 4


class Queue:
    """A device by itself; `served` has (time, first, pages, bios) of each completed request."""

    def __init__(self, service_ns=1000, depth=1, rotational=False, fault=None):
        self.clock = Clock()
        self.model = FixedModel(service_ns, depth)
        self.model.rotational = rotational
        self.device = BlockDevice("sda", self.model, 4096, fault)
        self.served = []
        self.device.attach(self.clock, self._done)
        self.bio = 0

    def submit(self, *requests, write=0):
        plug = []
        for first, pages in requests:
            self.bio += 1
            plug.append((self.bio, write, first, pages))
        if len(plug) == 1:
            self.device.submit(plug[0])
        else:
            self.device.submit_plug(plug)

    def run(self):
        self.clock.run()
        return [(first, pages) for _, first, pages, _ in self.served]

    def _done(self, device, bios, served, now):
        first = min(first for _, _, first, _ in bios)
        self.served.append((now, first, sum(pages for *_, pages in bios), [number for number, *_ in bios]))


def test_first_come_first_served():
    queue = Queue()
    for first in (50, 10, 30, 20):
        queue.submit((first, 1))
    assert queue.run() == [(50, 1), (10, 1), (30, 1), (20, 1)]
    assert [when for when, *_ in queue.served] == [1000, 2000, 3000, 4000]


def test_parallel_channels():
    queue = Queue(depth=2)
    for first in (50, 10, 30):
        queue.submit((first, 1))
    queue.run()
    assert [when for when, *_ in queue.served] == [1000, 1000, 2000]


def test_back_and_front_merges():
    queue = Queue()
    queue.submit((900, 1))  # in service, so the others wait
    queue.submit((10, 4))
    queue.submit((14, 2))  # behind
    queue.submit((8, 2))  # before
    queue.submit((40, 1))
    assert queue.run() == [(900, 1), (8, 8), (40, 1)]
    assert queue.served[1][3] == [2, 3, 4]
    assert queue.model.seen[1][2:] == (8 * 4096, 8 * 4096)


def test_reads_and_writes_do_not_merge():
    queue = Queue()
    queue.submit((900, 1))
    queue.submit((10, 4))
    queue.submit((14, 2), write=1)
    assert queue.run() == [(900, 1), (10, 4), (14, 2)]


def test_a_request_in_service_is_not_merged():
    queue = Queue()
    queue.submit((10, 4))
    queue.submit((14, 2))
    assert queue.run() == [(10, 4), (14, 2)]


def test_a_plug_is_merged_before_it_is_started():
    queue = Queue()
    queue.submit((10, 4), (14, 4), (30, 1), (18, 1))
    assert queue.run() == [(10, 9), (30, 1)]


@pytest.mark.parametrize(("last", "requests"), [(MAX_PAGES - 300, 2), (MAX_PAGES - 299, 3)])
def test_a_request_grows_to_1280_kib(last, requests):
    queue = Queue()
    queue.submit((9000, 1))
    queue.submit((0, 200))
    queue.submit((200, 100))
    queue.submit((300, last))
    assert len(queue.run()) == requests


def test_two_requests_that_begin_alike():
    """Merging is by place, and two waiting requests may have the same; none may be lost."""
    queue = Queue()
    queue.submit((900, 1))
    queue.submit((10, 4))
    queue.submit((10, 4))
    queue.submit((14, 1))
    queue.submit((9, 1))
    assert sorted(bio for _, _, _, bios in queue.served for bio in bios) == []
    queue.run()
    assert sorted(bio for _, _, _, bios in queue.served for bio in bios) == [1, 2, 3, 4, 5]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 5), st.integers(0, 1)), max_size=40),
    st.integers(1, 3),
    st.booleans(),
)
def test_every_bio_is_served_once_in_a_request_that_holds_it(bios, depth, rotational):
    queue = Queue(depth=depth, rotational=rotational)
    for number, (first, pages, write) in enumerate(bios):
        queue.clock.at(
            number * 300, lambda first=first, pages=pages, write=write: queue.submit((first, pages), write=write)
        )
    queue.run()
    served = {bio: (first, first + pages) for _, first, pages, numbers in queue.served for bio in numbers}
    assert sum(len(numbers) for *_, numbers in queue.served) == len(bios) == len(served)
    stat = queue.device.stat
    assert (stat.depth, queue.device.in_service) == (0, 0)
    assert stat.reads.bios + stat.writes.bios == len(bios)
    assert stat.reads.nbytes + stat.writes.nbytes == 4096 * sum(pages for _, pages, _ in bios)
    assert stat.busy_ns(queue.clock.now) <= stat.depth_ns(queue.clock.now)


def test_what_is_counted():
    queue = Queue(service_ns=1000)
    queue.submit((10, 1))
    queue.submit((50, 2))
    queue.clock.at(5000, lambda: queue.submit((70, 3), write=1))
    queue.run()
    stat = queue.device.stat
    assert (stat.reads.requests, stat.reads.bios, stat.reads.nbytes) == (2, 2, 3 * 4096)
    assert (stat.reads.latency_ns, stat.reads.latency_max_ns, stat.reads.service_ns) == (3000, 2000, 2000)
    assert (stat.writes.requests, stat.writes.nbytes, stat.writes.latency_ns) == (1, 3 * 4096, 1000)
    assert stat.busy_ns(6000) == 3000
    assert stat.depth_ns(6000) == 4000
    bounds = {bucket_bounds(bucket): count for bucket, count in stat.reads.latencies().items()}
    assert [low <= ns < high for (low, high), ns in zip(bounds, (1000, 2000), strict=True)] == [True, True]


def test_integrals_in_between():
    queue = Queue(service_ns=1000)
    queue.submit((10, 1))
    queue.submit((50, 2))
    queue.clock.run(until=1500)
    assert queue.device.stat.depth_ns(1500) == 2 * 1000 + 500
    assert queue.device.stat.busy_ns(1500) == 1500


def test_the_histogram_has_the_buckets_of_the_kernel():
    from vmsim.machine.iostat import _buckets_of
    from vmsim.struct.histogram import hist_bucket

    plain = getattr(hist_bucket, "py_func", hist_bucket)
    plain = FunctionType(plain.__code__, {**plain.__globals__, "bit_length": int.bit_length})  # what is compiled later keeps its own
    rng = np.random.default_rng(5)
    values = np.concatenate([np.arange(1000), (2.0 ** rng.uniform(0, 48, 500)).astype(np.int64), 2 ** np.arange(49)])
    assert _buckets_of(values).tolist() == [plain(int(ns)) for ns in values]


def test_a_fault_fails_the_bio_that_it_hits(lab):
    run = lab(
        [[("cpu", 1), ("reads", [(10, 2), (12, 2)])]],
        fault=lambda now, write, first, pages: first <= 12 < first + pages,
    )
    run.machine.run()
    assert run.completed == [(10, 0), (12, 1)]  # merged into one request, but two transfers
    assert (run.devices[0].stat.reads.requests, run.devices[0].stat.reads.errors) == (1, 1)


def test_a_fault_may_depend_on_the_time_and_direction(lab):
    run = lab([[("write", 5, 1), ("sleep", 500_000), ("write", 5, 1), ("sleep", 500_000), ("read", 5, 1)]],
              fault=lambda now, write, first, pages: now > 300_000 and write == 1)  # fmt: skip
    run.machine.run()
    assert run.completed == [(5, 0), (5, 1), (5, 0)]
    assert (run.devices[0].stat.reads.errors, run.devices[0].stat.writes.errors) == (0, 1)


def test_each_device_gets_its_own(lab, fixed_model):
    run = lab([[("ahead", 1, 1, 1), ("read", 2, 1, 0), ("cpu", 1)]], devices=[fixed_model(70), fixed_model(50)])
    run.machine.run()
    assert [model.seen for model in run.models] == [[(0, 0, 8192, 4096)], [(0, 0, 4096, 4096)]]


def test_the_requests_of_a_slice_are_plugged(lab):
    run = lab([[("reads", [(10, 2), (12, 3), (30, 1)])]])
    run.machine.run()
    assert [(first // 4096, nbytes // 4096) for _, _, first, nbytes in run.models[0].seen] == [(10, 5), (30, 1)]
    assert [first for first, _ in run.completed] == [10, 12, 30]


def request(clock, first, pages=1, write=0):
    return Request((1, write, first, pages), clock.now)


def test_fifo_is_empty_in_the_end():
    fifo = Fifo()
    assert fifo.take(0) is None


class TestDeadline:
    """Follows block/deadline-iosched.c of v4.4."""

    def order(self, *requests, now=0):
        clock = Clock()
        elevator = Deadline()
        for first, write in requests:
            elevator.add(request(clock, first, write=write))
        taken = []
        while (taken_now := elevator.take(now)) is not None:
            taken.append((taken_now.first, taken_now.write))
        return taken

    def test_ascending_from_the_oldest(self):
        """The sweep goes up from the first arrival, and begins again with the oldest that is left."""
        assert self.order((50, 0), (70, 0), (10, 0), (60, 0), (20, 0)) == [(50, 0), (60, 0), (70, 0), (10, 0), (20, 0)]

    def test_reads_first_but_writes_are_not_starved(self):
        """Batches: two of reads, then one of writes."""
        reads = [(first, 0) for first in range(0, 1000, 10)]
        writes = [(first, 1) for first in range(0, 1000, 10)]
        taken = [write for _, write in self.order(*reads, *writes)]
        assert taken[: 3 * 16] == [0] * 32 + [1] * 16
        assert taken[48 : 48 + 48] == [0] * 32 + [1] * 16

    def test_a_batch_of_reads_goes_on_where_the_last_ended(self):
        reads = [(first, 0) for first in range(0, 400, 10)]
        assert self.order(*reads) == reads

    @pytest.mark.parametrize(
        ("write", "now_ns", "next_first"),
        [
            (0, 500 * NS_PER_MS - 1, 1320),
            (0, 500 * NS_PER_MS, 900),
            (1, 5 * NS_PER_S - 1, 1320),
            (1, 5 * NS_PER_S, 900),
        ],
    )
    def test_an_expired_request_begins_the_next_batch(self, write, now_ns, next_first):
        """Reads expire after 500 ms, writes after 5 s."""
        clock = Clock()
        elevator = Deadline()
        elevator.add(request(clock, 1160, write=write))
        elevator.take(0)
        for first in (900, *range(1170, 1400, 10)):
            elevator.add(request(clock, first, write=write))
        assert [elevator.take(0).first for _ in range(15)] == list(
            range(1170, 1320, 10)
        )  # with the first, a full batch
        assert elevator.take(now_ns).first == next_first

    def test_a_front_merge_moves_the_request(self):
        queue = Queue(rotational=True)
        queue.submit((1000, 1))
        for first in (2000, 3000, 2500):
            queue.submit((first, 2))
        queue.submit((2498, 2))
        assert queue.run() == [(1000, 1), (2000, 2), (2498, 4), (3000, 2)]


def test_a_sorted_queue_nearly_halves_the_time_of_a_disk():
    """64 random places: to the next of them a seek is 2.5 ms, to any of them 8.5; half a turn is 4.2 ms either way."""
    parameters = {
        "size": 10**12, "rpm": 7200, "seek_min": 10**6, "seek_avg": 8_500_000, "seek_max": 18_000_000,
        "transfer_rate": 130_000_000, "cylinders": 320_800,
    }  # fmt: skip
    places = [(int(page), 1) for page in np.random.default_rng(2).permutation(10**12 // 4096)[:64]]

    def time_ns(elevator):
        queue = Queue()
        queue.device = BlockDevice("sda", make_device_model("hdd", parameters, np.random.default_rng(1)), 4096)
        queue.device._elevator = elevator
        queue.device.attach(queue.clock, queue._done)
        queue.submit(*places)
        assert sorted(queue.run()) == sorted(places)
        return queue.clock.now

    disk = make_device_model("hdd", parameters, np.random.default_rng(1))
    assert isinstance(BlockDevice("sda", disk, 4096)._elevator, Deadline)
    assert time_ns(Fifo()) == pytest.approx(64 * (8_500_000 + 4_170_000), rel=0.1)
    assert time_ns(Deadline()) == pytest.approx(64 * (2_500_000 + 4_170_000) + 2 * 8_500_000, rel=0.1)
