"""Access patterns: in which order a program touches the pages of a region."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from vmsim.spec.inputs import input_file
from vmsim.spec.model import SpecModel
from vmsim.spec.values import Choice, Count, Name, Positive, Probability, Real, Share, Text, number_of

XORSHIFT64_STATE = 88172645463325252  # the start state of Marsaglia, Xorshift RNGs (2003), section 4


class PatternParent(SpecModel):
    """What all patterns have."""

    generator: Annotated[str, Choice("generator", ("default", "xorshift64"))] = Field(
        default="default",
        description="default: the task's own stream; xorshift64: x ^= x<<13; x ^= x>>7; x ^= x<<17, as in C",
    )
    state: Annotated[int, number_of(1, (1 << 64) - 1)] | None = Field(
        default=None, description=f"start state of xorshift64; default: {XORSHIFT64_STATE}"
    )
    name: Name | None = Field(
        default=None, description="steps whose patterns share a name draw from one generator and one position"
    )

    @field_validator("state")
    @classmethod
    def _only_of_xorshift(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("generator") == "default":
            raise ValueError("only the xorshift64 generator has a state (generator: xorshift64)")
        return value

    @property
    def start_state(self) -> int:
        """The state that xorshift64 starts from."""
        return XORSHIFT64_STATE if self.state is None else self.state


class SequentialPattern(PatternParent):
    """Page after page, and again from the start."""

    type: Literal["sequential"] = "sequential"


class StridePattern(PatternParent):
    """Every n-th page: page i*stride of the region, modulo its size."""

    type: Literal["stride"] = "stride"
    stride: Positive = Field(description="pages from one access to the next")


class UniformPattern(PatternParent):
    """Every page alike, each draw independent."""

    type: Literal["uniform"] = "uniform"


class ZipfPattern(PatternParent):
    """The k-th most popular page with probability proportional to k^-theta; popularity is scattered over the region."""

    type: Literal["zipf"] = "zipf"
    theta: Annotated[float, Real("an exponent", 0.0, 10.0, open_minimum=True)] = Field(default=0.99, description="skew")


class HotColdPattern(PatternParent):
    """A hot part at the start of the region, uniform within, and the cold rest."""

    type: Literal["hotcold"] = "hotcold"
    hot_fraction: Share = Field(default=0.1, description="part of the pages that is hot, at least one; 1: all alike")
    hot_probability: Probability = Field(default=0.9, description="part of the accesses that goes there")


class GraphPattern(PatternParent):
    """A walk through a graph whose nodes are pages: each step goes to one of the neighbours, most of which lie near."""

    type: Literal["graph"] = "graph"
    degree: Annotated[int, number_of(1, 1024)] = Field(default=4, description="neighbours of a node")
    locality: Probability = Field(default=0.9, description="part of the neighbours that lie near the node")
    restart: Probability = Field(default=0.001, description="probability of a step to a random node")


class ReplayPattern(PatternParent):
    """A given sequence of pages of the region, and again from the start."""

    type: Literal["replay"] = "replay"
    pages: tuple[Count, ...] | None = Field(default=None, min_length=1, description="page numbers within the region")
    file: Text | None = Field(default=None, description="an array of page numbers, .npy, beside the experiment's file")

    @field_validator("file")
    @classmethod
    def _exists(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        if not value.endswith(".npy"):
            raise ValueError(f"expected a NumPy file (.npy), got {value!r}")
        return input_file(value, info)

    @model_validator(mode="after")
    def _one_source(self) -> ReplayPattern:
        if (self.pages is None) == (self.file is None):
            raise ValueError("a replay takes either pages or file")
        return self


PatternSpec = Annotated[
    SequentialPattern | StridePattern | UniformPattern | ZipfPattern | HotColdPattern | GraphPattern | ReplayPattern,
    Field(discriminator="type"),
]
