"""A solid-state disk behind SATA: few channels, at most 32 commands, half a gigabyte a second."""

from __future__ import annotations

from vmsim.hw.device import device_model
from vmsim.hw.devices.flash import Flash


@device_model("sata-ssd")
class SataSsd(Flash):
    """Parameters: queue_depth, channels, read_latency, write_latency, bandwidth_read, bandwidth_write, latency."""

    __slots__ = ()
