"""A solid-state disk behind PCI Express: many channels, and a queue so deep that requests hardly wait outside it."""

from __future__ import annotations

from vmsim.hw.device import device_model
from vmsim.hw.devices.flash import Flash


@device_model("nvme")
class Nvme(Flash):
    """Parameters: queue_depth, channels, read_latency, write_latency, bandwidth_read, bandwidth_write, latency."""

    __slots__ = ()
