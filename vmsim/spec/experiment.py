"""A whole experiment: as its file has it (`ExperimentFile`), and resolved into one run a row (`ExperimentSpec`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator

from vmsim.errors import unknown_name
from vmsim.spec.counters import DEVICE_COUNTERS, SERIES_COUNTERS, SERIES_GROUPS
from vmsim.spec.files import FileSpec
from vmsim.spec.flags import shown
from vmsim.spec.kernel import KernelSpec
from vmsim.spec.machine import MachineSpec
from vmsim.spec.model import SpecModel
from vmsim.spec.published import Facts, Kinds, PublishedTimes, Tolerances
from vmsim.spec.steps import Program
from vmsim.spec.sweep import AxisSpec, CurvesSpec, Places
from vmsim.spec.tasks import TaskSpec
from vmsim.spec.values import (
    Checked,
    Choice,
    Name,
    PositiveNanoseconds,
    RowId,
    Text,
    Title,
    mapping,
    number_of,
    raise_all,
)

PLOTS = ("bars", "where", "cdf", "series", "memory", "curves", "outcomes", "percentiles", "timeline")
MAX_RUNS = 100_000


def _read_seeds(given: object) -> tuple[int, ...]:
    """The numbers of the runs: 0 to n-1, or those of a list."""
    if isinstance(given, (list, tuple)):
        numbers = tuple(number_of(0, (1 << 32) - 1).validate(item) for item in given[: MAX_RUNS + 1])
        if not numbers or len(set(numbers)) != len(numbers) or len(numbers) > MAX_RUNS:
            raise ValueError("expected a list of different run numbers")
        return numbers
    return tuple(range(number_of(1, MAX_RUNS).validate(given)))


def _dump_seeds(seeds: tuple[int, ...]) -> int | list[int]:
    return len(seeds) if seeds == tuple(range(len(seeds))) else list(seeds)


_SEEDS_SCHEMA = {"title": "a number of runs, or a list of run numbers", "type": ["integer", "array", "string"]}


def _read_constants(given: object) -> dict[str, Any]:
    constants = dict(mapping(given, "constants"))
    wrong = [name for name in constants if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", str(name), re.ASCII)]
    if wrong:
        raise_all("constants", [((name,), "expected a name of letters, digits and _") for name in wrong])
    return constants


def _read_set(given: object) -> dict[str, Any]:
    return dict(mapping(given, "dotted keys"))


class SeriesSpec(SpecModel):
    """Counters over simulated time."""

    interval: PositiveNanoseconds = Field(description="time between two samples")
    counters: tuple[str, ...] = Field(
        min_length=1,
        description="names of /proc/vmstat, SwapFree, SwapCached, DEVICE.FIELD with the fields below, or groups: memory, paging, reclaim",
    )

    @field_validator("counters", mode="before")
    @classmethod
    def _known(cls, given: object) -> object:
        if not isinstance(given, (list, tuple)):
            raise ValueError(f"expected a list of counters, got {shown(given)}")
        errors: list[tuple[tuple[str | int, ...], str]] = []
        for i, name in enumerate(given):
            if not isinstance(name, str):
                errors.append(((i,), f"expected the name of a counter, got {shown(name)}"))
            elif name.rpartition(".")[0] and name.rpartition(".")[2] not in DEVICE_COUNTERS:
                errors.append(((i,), unknown_name("field of a device", name.rpartition(".")[2][:80], DEVICE_COUNTERS)))
            elif "." not in name and name not in SERIES_COUNTERS and name not in SERIES_GROUPS:
                errors.append(((i,), near_name("counter", name, SERIES_COUNTERS | SERIES_GROUPS.keys())))
        if errors:
            raise_all("counters", errors)
        return list(dict.fromkeys(counter for name in given for counter in SERIES_GROUPS.get(name, (name,))))


def near_name(what: str, name: str, known: frozenset[str]) -> str:
    """`unknown_name` for so many names that they can't all be shown."""
    return unknown_name(what, name[:80], known).split("(known:")[0].split("; known")[0].split(" known:")[0].rstrip()


class OutputsSpec(SpecModel):
    """What a run records beside its phases, ledger and counters."""

    series: SeriesSpec | None = Field(default=None, description="counters over time; default: none")
    histogram: bool = Field(default=True, description="latency histograms of accesses")


class Scenario(SpecModel):
    """What one run simulates."""

    machine: MachineSpec = Field(description="a machine's name, a path beside this file, or its keys in place")
    kernel: KernelSpec = Field(default_factory=KernelSpec, description="the kernel")
    files: Mapping[Name, FileSpec] = Field(default={}, description="files by name")
    tasks: tuple[TaskSpec, ...] = Field(default=(), description="tasks; a row may replace them")


class RowSpec(SpecModel):
    """One row of the table: a variant of the experiment."""

    name: Title = Field(description="as the table shows it")
    id: RowId | None = Field(default=None, description="short id for options and files; default: from the name")
    set: Annotated[Mapping[str, Any], Checked(_read_set, {"title": "dotted keys", "type": ["object", "null"]})] = Field(
        default={},
        description="values that differ, by dotted key: `kernel.sysctl.vm.max_map_count`, `tasks.reader.vars.batch`",
    )
    program: Program | None = Field(default=None, description="replaces the program of the only task")
    tasks: tuple[TaskSpec, ...] | None = Field(default=None, description="replaces all tasks")
    published: PublishedTimes = Field(
        default={}, description="for a phase: the published time, or {fails: errno, call: system call}"
    )
    kind: Kinds = Field(default={}, description="for a phase: fitted or predicted (the default)")
    tolerance: Tolerances = Field(
        default={}, description="for a phase: percent, or [percent below, percent above]; default 5"
    )
    facts: Facts = Field(default={}, description="stated counts that the table compares")
    at: Places = Field(default={}, description="where the row stands on the axes of the plot `curves`; a sweep fills it in")
    line: Title | None = Field(default=None, description="the curve that it belongs to; default: its name in a sweep")


class ExperimentFile(Scenario):
    """An experiment as its file has it."""

    title: Title = Field(description="as tables and plots show it")
    description: Text = Field(default="", description="the question, for people")
    program: Program | None = Field(default=None, description="short for one task named main with this program")
    rows: tuple[RowSpec, ...] = Field(default=(), description="variants; without rows the experiment is one row")
    sweep: Mapping[Title, AxisSpec] = Field(
        default={}, description="axes by name: each row (or the experiment as a whole) is run at every combination of their values"
    )
    curves: CurvesSpec = Field(default_factory=CurvesSpec, description="what the plot `curves` shows of a sweep")
    constants: Annotated[
        Mapping[str, Any], Checked(_read_constants, {"title": "constants", "type": ["object", "null"]})
    ] = Field(default={}, description="values that `${name}` stands for anywhere in the file")
    seeds: Annotated[tuple[int, ...], Checked(_read_seeds, _SEEDS_SCHEMA, _dump_seeds)] = Field(
        default=(0,),
        description="number of runs of each row, or a list of run numbers; run i draws from SeedSequence([seed, i])",
    )
    seed: Annotated[int, number_of(0)] = Field(default=1, description="base seed")
    outputs: OutputsSpec = Field(default_factory=OutputsSpec, description="what is recorded")
    plots: tuple[Annotated[str, Choice("plot", PLOTS)], ...] = Field(
        default=(), description="default: those that there are data for"
    )


class ResolvedRun(Scenario):
    """One row with everything filled in: what a run needs, and what is published about it."""

    row_id: RowId
    row_name: Title
    published: PublishedTimes = Field(default={})
    kind: Kinds = Field(default={})
    tolerance: Tolerances = Field(default={})
    facts: Facts = Field(default={})
    at: Places = Field(default={})
    line: Title | None = None


class ExperimentSpec(SpecModel):
    """A checked experiment. `runs` has one entry for each row; run i of a row draws from SeedSequence([seed, i])."""

    title: Title
    description: Text = ""
    path: Text = Field(default="", description="the file it came from")
    overrides: tuple[Text, ...] = Field(default=(), description="the options it was changed by")
    runs: tuple[ResolvedRun, ...]
    seeds: Annotated[tuple[int, ...], Checked(_read_seeds, _SEEDS_SCHEMA, _dump_seeds)] = (0,)
    seed: Annotated[int, number_of(0)] = 1
    outputs: OutputsSpec = Field(default_factory=OutputsSpec)
    plots: tuple[Annotated[str, Choice("plot", PLOTS)], ...] = ()
    curves: CurvesSpec = Field(default_factory=CurvesSpec)
