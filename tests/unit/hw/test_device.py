"""Service-time models: what a datasheet says of a device comes out of its model."""

from __future__ import annotations

import numpy as np
import pytest

from vmsim.errors import VmsimError
from vmsim.hw.device import device_model, device_models, make_device_model, make_latency
from vmsim.units import NS_PER_S

CONSTANT = {"type": "constant"}
SSD = {
    "queue_depth": 32, "read_latency": 85_000, "write_latency": 65_000, "bandwidth_read": 500_000_000,
    "bandwidth_write": 250_000_000, "channels": 4, "latency": CONSTANT,
}  # fmt: skip
DISK = {
    "size": 10**12, "rpm": 7200, "seek_min": 10**6, "seek_avg": 8_500_000, "seek_max": 18_000_000,
    "transfer_rate": 128_000_000, "cylinders": 320_800,
}  # fmt: skip


def model(name, seed=1, **changes):
    parameters = {**(DISK if name == "hdd" else SSD), **changes}
    return make_device_model(name, parameters, np.random.default_rng(seed))


def test_known_models():
    assert device_models() == ("hdd", "nvme", "sata-ssd")


def test_unknown_model():
    with pytest.raises(VmsimError, match=r"no device model 'floppy'.* known: hdd, nvme, sata-ssd"):
        make_device_model("floppy", {}, np.random.default_rng(1))


def test_missing_parameter():
    with pytest.raises(VmsimError, match="device model 'hdd' needs the parameter 'cylinders'"):
        make_device_model("hdd", {}, np.random.default_rng(1))


def test_a_model_is_one_class_and_its_registration():
    from vmsim.hw import device

    class Instant:
        depth = 1
        rotational = False

        def __init__(self, parameters, rng):
            self.extra = parameters["extra"]

        def finish_ns(self, now_ns, write, first, nbytes):
            return now_ns + self.extra

    try:
        device_model("instant")(Instant)
        assert "instant" in device_models()
        assert make_device_model("instant", {"extra": 5}, np.random.default_rng(1)).finish_ns(7, 0, 0, 4096) == 12
    finally:
        del device._MODELS["instant"]


@pytest.mark.parametrize(("shape", "mean", "deviation"), [
    (CONSTANT, 80_000, 0),
    ({"type": "exponential", "fixed": 0.0}, 80_000, 80_000),
    ({"type": "exponential", "fixed": 0.75}, 80_000, 20_000),
    ({"type": "lognormal", "sigma": 0.5}, 80_000, 80_000 * np.sqrt(np.exp(0.25) - 1)),
    ({"type": "uniform", "spread": 0.3}, 80_000, 80_000 * 0.3 / np.sqrt(3)),
    ({"type": "empirical", "quantiles": [10, 20, 20, 30]}, 20, np.sqrt(50)),
])  # fmt: skip
def test_distributions_have_the_stated_mean(shape, mean, deviation):
    latency = make_latency(80_000, shape, np.random.default_rng(3))
    drawn = [latency.next_ns() for _ in range(40_000)]
    assert all(isinstance(ns, int) and ns >= 0 for ns in drawn)
    assert np.mean(drawn) == pytest.approx(mean, abs=4 * deviation / 200 + 0.5)
    assert np.std(drawn) == pytest.approx(deviation, rel=0.05, abs=0.5)


def test_bounds_of_the_distributions():
    uniform = make_latency(1000, {"type": "uniform", "spread": 0.2}, np.random.default_rng(3))
    assert {800 <= uniform.next_ns() <= 1200 for _ in range(2000)} == {True}
    shifted = make_latency(1000, {"type": "exponential", "fixed": 0.5}, np.random.default_rng(3))
    assert min(shifted.next_ns() for _ in range(2000)) >= 500


def test_unknown_distribution():
    with pytest.raises(VmsimError, match="no latency distribution 'normal'"):
        make_latency(1, {"type": "normal"}, np.random.default_rng(1))


@pytest.mark.parametrize("name", ["hdd", "nvme", "sata-ssd"])
def test_the_same_generator_gives_the_same_device(name):
    changes = {} if name == "hdd" else {"latency": {"type": "lognormal", "sigma": 0.3}}
    one, two, other = model(name, 5, **changes), model(name, 5, **changes), model(name, 6, **changes)
    where = [(i * 50_000_000, i % 2, i * 7919 * 4096 % 10**11, 4096) for i in range(100)]
    times = [one.finish_ns(*request) for request in where]
    assert times == [two.finish_ns(*request) for request in where]
    assert times != [other.finish_ns(*request) for request in where]
    assert all(done >= now for done, (now, *_) in zip(times, where, strict=True))


@pytest.mark.parametrize("name", ["nvme", "sata-ssd"])
class TestFlash:
    def test_alone_a_request_takes_latency_and_transfer(self, name):
        device = model(name)
        assert device.depth == 32
        assert not device.rotational
        assert device.finish_ns(1000, 0, 0, 4096) == 1000 + 85_000 + 8192
        assert device.finish_ns(10**9, 1, 0, 4096) == 10**9 + 65_000 + 16_384

    def test_channels_work_side_by_side(self, name):
        """Five requests on four channels: the fifth begins when the first channel is free."""
        device = model(name, bandwidth_read=4096 * NS_PER_S)  # a nanosecond a page
        assert [device.finish_ns(0, 0, 0, 4096) for _ in range(5)] == [85_001] * 4 + [170_001]

    def test_the_link_bounds_the_bandwidth(self, name):
        device = model(name)
        megabyte = 1 << 20
        done = [device.finish_ns(0, 0, 0, megabyte) for _ in range(32)][-1]
        assert 32 * megabyte * NS_PER_S / done == pytest.approx(500_000_000, rel=0.01)

    def test_the_channels_bound_the_requests(self, name):
        device = model(name, bandwidth_read=10**12)
        done = max(device.finish_ns(0, 0, 0, 4096) for _ in range(32))
        assert 32 * NS_PER_S / done == pytest.approx(4 * NS_PER_S / 85_000, rel=0.01)

    def test_measured_latencies(self, name):
        device = model(name, latency={"type": "empirical", "read": [100], "write": None}, bandwidth_read=10**15)
        assert device.finish_ns(0, 0, 0, 4096) == 100
        device = model(name, latency={"type": "empirical", "read": [100], "write": [7]}, bandwidth_write=10**15)
        assert device.finish_ns(0, 1, 0, 4096) == 7


class TestHdd:
    def test_one_request_at_a_time(self):
        device = model("hdd")
        assert (device.depth, device.rotational) == (1, True)
        first = device.finish_ns(0, 0, 0, 4096)
        assert device.finish_ns(0, 0, 4096, 4096) == first + 32_000

    def test_what_follows_is_read_without_a_seek(self):
        device = model("hdd")
        done = device.finish_ns(0, 0, 500 * 10**9, 128_000)
        assert device.finish_ns(done + 10**9, 0, 500 * 10**9 + 128_000, 128_000) == done + 10**9 + 1_000_000

    def test_going_back_takes_a_turn(self):
        device = model("hdd")
        begins = []
        for i in range(4000):
            device.finish_ns(i * 10**9, 0, 0, 4096)
            begins.append(device.finish_ns(i * 10**9 + 10**8, 0, 0, 4096) - i * 10**9 - 10**8 - 32_000)
        turn = 60 * NS_PER_S / 7200
        assert max(begins) <= turn
        assert np.mean(begins) == pytest.approx(turn / 2, rel=0.04)  # 4.16 ms at 7200 rpm

    def test_seeks_have_the_times_of_the_datasheet(self):
        device = model("hdd")
        assert device.seek_ns(0) == 0
        assert device.seek_ns(1) == pytest.approx(1_000_000, rel=0.03)
        assert device.seek_ns(320_799) == 18_000_000
        rng = np.random.default_rng(1)
        pairs = rng.integers(0, 320_800, (20_000, 2))
        assert np.mean([device.seek_ns(abs(int(a - b))) for a, b in pairs]) == pytest.approx(8_500_000, rel=0.01)

    def test_longer_seeks_take_longer_and_less_so_while_the_arm_accelerates(self):
        device = model("hdd")
        times = [device.seek_ns(distance) for distance in range(0, 320_800, 800)]
        assert times == sorted(times)
        short = [device.seek_ns(d) - device.seek_ns(1) for d in (10_001, 40_001)]
        assert short[1] / short[0] == pytest.approx(2, rel=0.02)  # square root
        long = [device.seek_ns(d) for d in (150_000, 200_000, 250_000)]
        assert long[2] - long[1] == pytest.approx(long[1] - long[0], rel=0.01)  # linear

    @pytest.mark.parametrize("seeks", [(0, 0, 0), (5, 5, 5), (1, 2, 1000), (1, 999, 1000)])
    def test_any_ordered_times_give_a_curve(self, seeks):
        device = model("hdd", seek_min=seeks[0], seek_avg=seeks[1], seek_max=seeks[2])
        times = [device.seek_ns(distance) for distance in range(0, 320_800, 10_000)]
        assert times == sorted(times)

    def test_a_tiny_disk(self):
        device = model("hdd", cylinders=1, size=4096)
        assert device.finish_ns(0, 0, 0, 4096) <= 60 * NS_PER_S // 7200 + 32_000
