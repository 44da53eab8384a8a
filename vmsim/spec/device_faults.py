"""What goes wrong with a block device: transfers that fail, and times at which it does nothing."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from vmsim.spec.model import SpecModel
from vmsim.spec.values import Bytes, Choice, Nanoseconds, PositiveNanoseconds, Share, size_of


class ErrorSpec(SpecModel):
    """Transfers that fail; of several entries each has its say."""

    on: Annotated[str, Choice("direction", ("read", "write", "any"))] = Field(
        default="any", description="which transfers: `read`, `write` or `any`"
    )
    rate: Share = Field(default=1.0, description="share of them that fails, drawn from the device's own random stream")
    at: Bytes = Field(default=0, description="first byte of the bad part of the device; a transfer that touches it can fail")
    length: Annotated[int, size_of(1)] | None = Field(default=None, description="length of the bad part; default: to the end of the device")
    from_ns: Nanoseconds = Field(default=0, alias="from", description="simulated time from which on they fail")
    for_ns: PositiveNanoseconds | None = Field(default=None, alias="for", description="how long; default: for ever")


class StallSpec(SpecModel):
    """A time in which the device does nothing: what it holds, and what comes, is done so much later."""

    from_ns: Nanoseconds = Field(alias="from", description="simulated time at which it stops")
    for_ns: PositiveNanoseconds | None = Field(default=None, alias="for", description="how long; default: for ever")
