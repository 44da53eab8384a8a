"""The machine: architecture, CPUs, memory, devices and what its work costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator, model_validator

from vmsim.spec.arches import ARCHES
from vmsim.spec.costs import COSTS
from vmsim.spec.devices import DeviceSpec
from vmsim.spec.model import SpecModel
from vmsim.spec.values import (
    Bytes,
    Checked,
    Choice,
    Count,
    Name,
    Positive,
    Quantity,
    Text,
    duration_of,
    number_of,
    read_entries,
    size_of,
)
from vmsim.units import KIB, format_bytes


def _quantity(name: str) -> Quantity:
    return duration_of() if COSTS[name].unit == "ns" else number_of(0, 1000)


def _read_costs(given: object) -> dict[str, int]:
    """All costs: those given, the defaults of the others."""
    stated = read_entries(given, "cost", COSTS, lambda name, value: _quantity(name).validate(value))
    return {name: stated.get(name, cost.default) for name, cost in COSTS.items()}


def _costs_schema() -> dict[str, Any]:
    properties = {
        name: {
            "description": f"{cost.what}. {cost.source}",
            "default": _quantity(name).format(cost.default),
            "type": ["integer", "string"],
        }
        for name, cost in COSTS.items()
    }
    return {"title": "costs", "type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _dump_costs(costs: Mapping[str, int]) -> dict[str, str | int]:
    return {name: _quantity(name).format(value) for name, value in costs.items()}


class TlbLevelSpec(SpecModel):
    """One TLB of each CPU."""

    entries: Count = Field(description="0: there is no such level")
    ways: Positive = Field(description="associativity; as many ways as entries: fully associative")

    @model_validator(mode="after")
    def _whole_sets(self) -> TlbLevelSpec:
        sets, rest = divmod(self.entries, self.ways)
        if rest or sets & (sets - 1) or self.entries > 1 << 20:
            raise ValueError(
                f"expected entries = ways times a power of two, got {self.entries} entries of {self.ways} ways"
            )
        return self


class TlbSpec(SpecModel):
    """TLBs that differ from those of the architecture's profile."""

    l1: TlbLevelSpec | None = Field(default=None, description="first level; default: the profile's")
    l2: TlbLevelSpec | None = Field(default=None, description="second level; default: the profile's")
    walk_cache: TlbLevelSpec | None = Field(
        default=None, description="cache of each upper page-table level; default: the profile's"
    )


class SwapSpec(SpecModel):
    """A swap area on a device."""

    device: Name = Field(description="name of a device of this machine")
    size: Annotated[int, size_of(40 * KIB)] = Field(description="size of the area")
    name: Name | None = Field(default=None, description="what `swapon` and `swapoff` call it; default: the device's name")
    priority: Annotated[int, number_of(0, 32767)] | None = Field(
        default=None,
        description="areas of the highest priority are used first, equals in turns; default: in their order, below all others",
    )
    file: bool = Field(default=False, description="it is a file, not a partition. Model: one without holes, in one piece")
    on: bool = Field(default=True, description="switched on when the machine starts")

    @property
    def label(self) -> str:
        """The area's name."""
        return self.name or self.device


class ZoneSpec(SpecModel):
    """A zone of memory that differs from what the size of RAM makes of it."""

    managed: Positive | None = Field(default=None, description="pages of the allocator; default: from RAM")
    used: Count = Field(default=0, description="pages that the kernel itself takes from it before any program runs")


class MachineSpec(SpecModel):
    """One machine."""

    title: Text = Field(default="", description="one line for people")
    description: Text = Field(default="", description="what it is for")
    source: Text = Field(default="", description="where its numbers come from")
    arch: Annotated[str, Choice("architecture", tuple(ARCHES))] = Field(
        default="x86_64", description="architecture profile"
    )
    page_size: Bytes = Field(default=4 * KIB, description="base page size, one that the architecture has")
    cpus: Positive = Field(default=1, description="CPUs")
    ram: Annotated[int, size_of(256 * KIB)] = Field(description="memory, whole pages")
    tlb: TlbSpec | None = Field(default=None, description="TLBs, where they differ from the profile's")
    zones: Mapping[Name, ZoneSpec] = Field(
        default={}, description="zones that differ from those that the size of RAM makes, by their names"
    )
    devices: Mapping[Name, DeviceSpec] = Field(default={}, description="block devices by name")
    swap: SwapSpec | None = Field(default=None, description="swap area; default: none")
    swaps: tuple[SwapSpec, ...] = Field(default=(), max_length=29, description="swap areas, if there are several (instead of `swap`)")
    costs: Annotated[Mapping[str, int], Checked(_read_costs, _costs_schema(), _dump_costs)] = Field(
        default_factory=lambda: _read_costs({}),
        description="what the modelled pieces of work cost; those left out keep their default",
    )

    @field_validator("page_size")
    @classmethod
    def _has_page_size(cls, value: int, info: ValidationInfo) -> int:
        arch = info.data.get("arch")
        if arch and value not in ARCHES[arch].page_sizes:
            sizes = ", ".join(format_bytes(size) for size in ARCHES[arch].page_sizes)
            raise ValueError(f"{arch} has pages of {sizes}, got {format_bytes(value)}")
        return value

    @field_validator("cpus")
    @classmethod
    def _few_enough(cls, value: int, info: ValidationInfo) -> int:
        arch = info.data.get("arch")
        if arch and value > ARCHES[arch].max_cpus:
            raise ValueError(f"{arch} has at most {ARCHES[arch].max_cpus} CPUs, got {value}")
        return value

    @field_validator("ram")
    @classmethod
    def _addressable(cls, value: int, info: ValidationInfo) -> int:
        arch, page_size = info.data.get("arch"), info.data.get("page_size")
        if arch and value > ARCHES[arch].max_ram:
            raise ValueError(
                f"{arch} addresses at most {format_bytes(ARCHES[arch].max_ram)} of memory, got {format_bytes(value)}"
            )
        if page_size and value % page_size:
            raise ValueError(f"expected whole pages of {format_bytes(page_size)}, got {value} bytes")
        return value

    @field_validator("swap")
    @classmethod
    def _on_a_device(cls, value: SwapSpec | None, info: ValidationInfo) -> SwapSpec | None:
        if value:
            _check_room((value,), info)
        return value

    @field_validator("swaps")
    @classmethod
    def _on_devices(cls, value: tuple[SwapSpec, ...], info: ValidationInfo) -> tuple[SwapSpec, ...]:
        if value and info.data.get("swap"):
            raise ValueError("give either swap or swaps")
        labels = [area.label for area in value]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"two swap areas are called {label!r}; give them names")
        _check_room(value, info)
        return value

    @property
    def swap_areas(self) -> tuple[SwapSpec, ...]:
        """All swap areas, in their order."""
        return (self.swap,) if self.swap else self.swaps


def _check_room(areas: tuple[SwapSpec, ...], info: ValidationInfo) -> None:
    """Raise ValueError if the swap areas of a device need more than it has."""
    for name, device in info.data.get("devices", {}).items():
        size = sum(area.size for area in areas if area.device == name)
        if size > device.size:
            raise ValueError(f"{format_bytes(size)} of swap on a device of {format_bytes(device.size)}")
