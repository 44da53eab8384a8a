"""Block devices: what each type's service time depends on."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from vmsim.spec.device_faults import ErrorSpec, StallSpec
from vmsim.spec.model import SpecModel
from vmsim.spec.values import Bytes, Nanoseconds, Positive, PositiveNanoseconds, Rate, Real, number_of, size_of
from vmsim.units import GIB, KIB, NS_PER_MS, NS_PER_US, format_bytes, format_duration

PositiveBytes = Annotated[int, size_of(1)]


class ConstantLatency(SpecModel):
    """Every request takes the stated latency."""

    type: Literal["constant"] = "constant"


class ExponentialLatency(SpecModel):
    """A fixed part, and an exponentially distributed rest; the mean is the stated latency."""

    type: Literal["exponential"] = "exponential"
    fixed: Annotated[float, Real("a share")] = Field(
        default=0.5, description="part of the latency that every request takes"
    )


class LognormalLatency(SpecModel):
    """A long tail to the right; the mean is the stated latency."""

    type: Literal["lognormal"] = "lognormal"
    sigma: Annotated[float, Real("a spread", 0.0, 3.0)] = Field(
        default=0.1, description="standard deviation of the logarithm"
    )


class UniformLatency(SpecModel):
    """Anything between (1 - spread) and (1 + spread) times the stated latency, alike."""

    type: Literal["uniform"] = "uniform"
    spread: Annotated[float, Real("a share")] = Field(
        default=0.2, description="half of the width, as a share of the latency"
    )


class EmpiricalLatency(SpecModel):
    """Drawn from measured latencies, each alike, instead of the stated ones; for reads and writes."""

    type: Literal["empirical"] = "empirical"
    quantiles: tuple[PositiveNanoseconds, ...] = Field(
        min_length=1, description="measured latencies, or quantiles of them at equal steps"
    )


Latency = Annotated[
    ConstantLatency | ExponentialLatency | LognormalLatency | UniformLatency | EmpiricalLatency,
    Field(discriminator="type"),
]


class Device(SpecModel):
    """What all block devices have."""

    size: PositiveBytes = Field(default=1024 * GIB, description="capacity")
    read_ahead: Bytes = Field(
        default=128 * KIB, description="read-ahead window of its files (VM_MAX_READAHEAD of v4.4)"
    )
    queue_depth: Positive = Field(default=32, description="requests that the device holds at a time")
    queues: Annotated[int, number_of(0, 4096)] = Field(
        default=1,
        description="hardware queues, 0: one a CPU. With more than one a task holds back one request, not 16 (block/blk-mq.c of v4.4)",
    )
    errors: tuple[ErrorSpec, ...] = Field(default=(), description="transfers that fail")
    stalls: tuple[StallSpec, ...] = Field(default=(), description="times in which the device does nothing, in their order")

    @field_validator("errors")
    @classmethod
    def _on_the_device(cls, value: tuple[ErrorSpec, ...], info: ValidationInfo) -> tuple[ErrorSpec, ...]:
        size = info.data.get("size")
        for error in value:
            if size and error.at + (error.length or 1) > size:
                raise ValueError(f"bad bytes {error.at} to {error.at + (error.length or 1)} of a device of {format_bytes(size)}")
        return value

    @field_validator("stalls")
    @classmethod
    def _one_after_the_other(cls, value: tuple[StallSpec, ...]) -> tuple[StallSpec, ...]:
        for before, after in pairwise(value):
            if before.for_ns is None or before.from_ns + before.for_ns >= after.from_ns:
                raise ValueError(f"expected stalls that end before the next begins, but one begins at {format_duration(after.from_ns)}")
        return value


class Flash(Device):
    """What solid-state devices have. A request waits for a channel, takes its latency there, then crosses the link."""

    read_latency: PositiveNanoseconds
    write_latency: PositiveNanoseconds
    bandwidth_read: Rate
    bandwidth_write: Rate
    channels: Positive
    latency: Latency = Field(default=LognormalLatency(), description="how the latencies are distributed")
    rotational: bool = Field(
        default=False, description="what the kernel takes it for (queue/rotational): swap uses a solid-state device otherwise"
    )


class SataSsd(Flash):
    """A SATA SSD. Defaults: Intel DC S3700, 2012."""

    type: Literal["sata-ssd"] = "sata-ssd"
    queue_depth: Positive = Field(default=32, description="native command queueing holds 32 (SATA 3)")
    read_latency: PositiveNanoseconds = Field(
        default=130 * NS_PER_US,
        description="a 4 KiB random read alone: 6,600 IOPS (AnandTech 8104), less 20 us of host and link",
    )
    write_latency: PositiveNanoseconds = Field(
        default=65 * NS_PER_US, description="typical write latency (product specification)"
    )
    bandwidth_read: Rate = Field(default=500_000_000, description="sequential reads (product specification)")
    bandwidth_write: Rate = Field(default=460_000_000, description="sequential writes (product specification)")
    channels: Positive = Field(
        default=10, description="requests served at a time. Model: 75,000 IOPS (specification) times 130 us"
    )


class Nvme(Flash):
    """An NVMe SSD. Defaults: Intel DC P3700 800 GB, 2014."""

    type: Literal["nvme"] = "nvme"
    queue_depth: Positive = Field(
        default=1024, description="entries of a queue (drivers/block/nvme of v4.4: NVME_Q_DEPTH)"
    )
    queues: Annotated[int, number_of(0, 4096)] = Field(
        default=0, description="hardware queues, 0: one a CPU (drivers/nvme/host/pci.c of v4.4)"
    )
    read_latency: PositiveNanoseconds = Field(
        default=78 * NS_PER_US,
        description="a 4 KiB random read alone: mean 77.9 us, median 76, 99th percentile 96 (AnandTech 11209)",
    )
    write_latency: PositiveNanoseconds = Field(
        default=20 * NS_PER_US, description="typical write latency (product specification)"
    )
    bandwidth_read: Rate = Field(default=2_800_000_000, description="sequential reads (product specification)")
    bandwidth_write: Rate = Field(default=2_000_000_000, description="sequential writes (product specification)")
    channels: Positive = Field(
        default=36, description="requests served at a time. Model: 460,000 IOPS (specification) times 78 us"
    )


class Hdd(Device):
    """A rotating disk: seek, wait for the sector, transfer, one request at a time. Defaults: a drive of 2013."""

    type: Literal["hdd"] = "hdd"
    size: PositiveBytes = Field(default=10**12, description="capacity")
    rpm: Annotated[int, number_of(1, 100_000)] = Field(
        default=7200, description="revolutions a minute; half a turn is 4.16 ms"
    )
    seek_min: Nanoseconds = Field(default=1 * NS_PER_MS, description="to the next track")
    seek_avg: Nanoseconds = Field(default=8500 * NS_PER_US, description="mean over random pairs of tracks")
    seek_max: Nanoseconds = Field(default=18 * NS_PER_MS, description="across the disk. Model: about twice the mean")
    transfer_rate: Rate = Field(
        default=130_000_000, description="mean over the tracks: 83 to 175 MB/s (Constellation ES.3 manual)"
    )
    cylinders: Annotated[int, number_of(1, 1 << 24)] = Field(
        default=320_800, description="tracks of a surface (Constellation ES.3 manual)"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Hdd:
        if not self.seek_min <= self.seek_avg <= self.seek_max:
            raise ValueError("expected seek_min <= seek_avg <= seek_max")
        return self


DeviceSpec = Annotated[SataSsd | Nvme | Hdd, Field(discriminator="type")]
