"""A block device as its spec says: the service-time model, what fails, and when it stalls."""

from __future__ import annotations

from typing import Final

from vmsim.hw.device import DeviceModel, make_device_model
from vmsim.hw.device_faults import NEVER, BadTransfers, FailingTransfers, StallingModel
from vmsim.machine.block import BlockDevice
from vmsim.machine.streams import Streams
from vmsim.spec.devices import Device, DeviceSpec

_WRITES: Final = {"read": (0,), "write": (1,), "any": (0, 1)}


def make_device(name: str, spec: DeviceSpec, page_bytes: int, streams: Streams) -> BlockDevice:
    """The device of that name, with its own random streams for latencies and for errors."""
    model: DeviceModel = make_device_model(spec.type, spec.model_dump(), streams.generator(f"device/{name}"))
    if spec.stalls:
        model = StallingModel(model, [(stall.from_ns, stall.for_ns or NEVER) for stall in spec.stalls])
    fault = FailingTransfers(_bad_transfers(spec), page_bytes, streams.generator(f"errors/{name}")) if spec.errors else None
    return BlockDevice(name, model, page_bytes, fault)


def _bad_transfers(spec: Device) -> list[BadTransfers]:
    return [
        BadTransfers(
            _WRITES[error.on], error.rate, error.at, error.at + error.length if error.length else spec.size,
            error.from_ns, error.from_ns + error.for_ns if error.for_ns else NEVER,
        )
        for error in spec.errors
    ]  # fmt: skip
