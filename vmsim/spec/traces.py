"""The step that carries out a trace of memory accesses."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator, model_validator

from vmsim.spec.expr import Num
from vmsim.spec.inputs import input_file
from vmsim.spec.syscalls import StepParent
from vmsim.spec.values import ByteExpr, Choice, Positive, Register, Text, TimeExpr


class TraceStep(StepParent):
    """The accesses of a trace file, or the memory calls of an strace log. `{trace: web.lackey.gz}` is short for `{trace: {file: ...}}`."""

    step = "trace"
    shorthand = "file"
    file: Text = Field(
        description="plain, lackey, ChampSim, libCacheSim, CSV or strace file, also .gz, .xz, .zst; beside the experiment's file"
    )
    format: Text = Field(default="auto", description="name of the format, with options as `csv:addr=2`; auto: guessed from the contents")
    map: Annotated[str, Choice("mapping", ("arena", "recorded"))] = Field(
        default="arena",
        description="arena: the touched regions of 2 MiB side by side in one mapping; recorded: areas where the trace has them "
        "(needs `image: none`)",
    )
    region: ByteExpr | None = Field(
        default=None, description="start of an own mapping for the arena; default: the step makes an anonymous one"
    )
    as_: Register | None = Field(default=None, alias="as", description="register that gets the address of the mapping made for the arena")
    fetches: Annotated[str, Choice("treatment", ("touch", "skip"))] = Field(
        default="touch", description="whether instruction fetches are accesses or left out"
    )
    limit: Positive | None = Field(default=None, description="only so many accesses (memory calls of a log) from the start; default: all")
    work: TimeExpr = Field(default=Num(0), description="CPU time of the program for each access or call")

    @field_validator("file")
    @classmethod
    def _exists(cls, value: str, info: ValidationInfo) -> str:
        return input_file(value, info)

    @model_validator(mode="after")
    def _one_place(self) -> TraceStep:
        if self.map == "recorded" and (self.region is not None or self.as_ is not None):
            raise ValueError("a trace where it was recorded has no region of its own (map: arena has)")
        if self.region is not None and self.as_ is not None:
            raise ValueError("give either region or as: with a region the step makes no mapping")
        return self
