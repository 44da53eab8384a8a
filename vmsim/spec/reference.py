"""The reference of all keys as Markdown, made from the models: it can't say other than what the program reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from vmsim.spec.arches import ARCHES
from vmsim.spec.capabilities import MODELLED
from vmsim.spec.costs import COSTS
from vmsim.spec.counters import DEVICE_COUNTERS, SERIES_GROUPS, TASK_COUNTERS, TASK_STATE
from vmsim.spec.device_faults import ErrorSpec, StallSpec
from vmsim.spec.devices import (
    ConstantLatency,
    EmpiricalLatency,
    ExponentialLatency,
    Hdd,
    LognormalLatency,
    Nvme,
    SataSsd,
    UniformLatency,
)
from vmsim.spec.experiment import ExperimentFile, OutputsSpec, RowSpec, SeriesSpec
from vmsim.spec.expr import FUNCTIONS, OPERATORS
from vmsim.spec.fields import Key, keys_of
from vmsim.spec.files import FileSpec
from vmsim.spec.flags import FADV, FALLOC, MADV, MAP, MCL, MFD, MLOCK, MREMAP, MS, PROT, SEEK, SWAP_FLAG, SYNC_FILE_RANGE
from vmsim.spec.kernel import KernelSpec, SlabSpec
from vmsim.spec.machine import MachineSpec, SwapSpec, TlbLevelSpec, TlbSpec, ZoneSpec
from vmsim.spec.model import SpecModel
from vmsim.spec.patterns import (
    GraphPattern,
    HotColdPattern,
    PatternParent,
    ReplayPattern,
    SequentialPattern,
    StridePattern,
    UniformPattern,
    ZipfPattern,
)
from vmsim.spec.process_calls import CALL_STEPS
from vmsim.spec.published import Failure
from vmsim.spec.rlimits import RESOURCES, UNLIMITED
from vmsim.spec.steps import CONTROL_STEPS
from vmsim.spec.sweep import AxisSpec, CurvesSpec
from vmsim.spec.syscalls import Syscall
from vmsim.spec.sysctl import SYSCTLS
from vmsim.spec.tasks import TaskSpec
from vmsim.spec.values import exact_bytes, exact_duration
from vmsim.struct.rules import RULE_NAMES
from vmsim.struct.tasks import RLIM_INFINITY

Row = tuple[str, ...]
_PATTERNS = (SequentialPattern, StridePattern, UniformPattern, ZipfPattern, HotColdPattern, GraphPattern, ReplayPattern)
_LATENCIES = (ConstantLatency, ExponentialLatency, LognormalLatency, UniformLatency, EmpiricalLatency)

_LINKS = (
    (("MachineSpec",), "a [machine](#machine)"),
    (("KernelSpec",), "a [kernel](#kernel)"),
    (("SlabSpec",), "[slab objects](#slab)"),
    (("FileSpec",), "a [file](#file)"),
    (("TaskSpec",), "[tasks](#task)"),
    (("RowSpec",), "[rows](#row)"),
    (("OutputsSpec",), "[outputs](#outputs)"),
    (("SeriesSpec",), "a [series](#series)"),
    (("AxisSpec",), "[axes](#axis)"),
    (("CurvesSpec",), "[curves](#curves)"),
    (("TlbSpec",), "[TLBs](#tlbs)"),
    (("TlbLevelSpec",), "[one TLB](#one-tlb)"),
    (("SwapSpec",), "[swap](#swap)"),
    (("ZoneSpec",), "zones by name, see [zone](#zone)"),
    (("ErrorSpec",), "[errors](#transfers-that-fail)"),
    (("StallSpec",), "[stalls](#stalls)"),
    (("SataSsd", "Nvme", "Hdd"), "a [device](#devices)"),
    (tuple(pattern.__name__ for pattern in _PATTERNS), "a [pattern](#patterns)"),
    (tuple(latency.__name__ for latency in _LATENCIES), "a [distribution](#latency-distributions)"),
)

_VALUES = f"""## Values

- **Sizes** are numbers of bytes, or numbers with `B`, `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024) or `kB`, `MB`, `GB`,
  `TB` (powers of 1000).
- **Durations** are numbers with `ns`, `us`, `ms`, `s`, `min` or `h`; only 0 may stand alone. **Rates** are sizes per
  second: `500 MB/s`.
- **Expressions** may stand for the numbers of steps: registers, numbers with or without unit, `PAGE_SIZE`, parentheses,
  {", ".join(f"`{op}`" for op in OPERATORS)}, unary `-` and `~`, `and`, `or`,
  `not`, and the functions {", ".join(f"`{name}`" for name in FUNCTIONS)} (`page(x)` is x rounded down to its page).
  Arithmetic is that of signed 64-bit integers, division rounds down, comparisons give 1 or 0.
- **Registers** are set by `vars`, `as`, `set` and `draw`; reading one before it is set is an error.
- **Flags** are lists of names, one name, `A|B`, or a number; the common prefix may be left out, in any case:
  `prot: [read, write]`.
- **Constants** under `constants:` replace `${{name}}` anywhere in the file.
- YAML is read as version 1.2: `on` and `yes` are text. `<<`, anchors and aliases work.
"""

_ROWS = """Elements of `tasks` and `rows` go by name or id (`tasks.reader.vars.batch`), elements of any list by index
(`tasks.reader.program[0].phase.name`). A row's `program` or `tasks` replace first, then its `set` changes values. With
`--set a.b=c` the command line changes the file before any row does.
"""


def reference() -> str:
    """The whole reference."""
    return "\n".join(_sections())


def _sections() -> Iterator[str]:
    yield "# The keys of experiments and machines\n"
    yield _VALUES
    yield _model("Experiment", ExperimentFile, leave_out=())
    yield _model("Row", RowSpec)
    yield _ROWS
    yield _model("Axis", AxisSpec)
    yield _model("Curves", CurvesSpec)
    yield _model("Published failure", Failure)
    yield "Facts are counters of `/proc/vmstat`, `signals`, " + _names((*TASK_COUNTERS, *TASK_STATE)) + ".\n"
    yield _model("Kernel", KernelSpec)
    yield "Rules: " + _names(RULE_NAMES) + ".\n"
    yield _model("Slab", SlabSpec, level=3)
    yield _table("### Sysctls", ("name", "default", "meaning"), _sysctls())
    yield _model("File", FileSpec)
    yield _model("Task", TaskSpec)
    yield "Capabilities that matter: " + _names(MODELLED) + ".\n"
    yield _table("### Rlimits", ("name", "default (4.4): soft, hard", "limits"), _rlimits())
    yield "## Steps: system calls\n"
    yield "Every system call also takes\n"
    yield _table("", ("key", "takes", "default", "meaning"), _rows(keys_of(Syscall)))
    for step in CALL_STEPS:
        yield _model(f"`{step.step}`", step, level=3, leave_out=("as", "expect"))
    for table in (PROT, MAP, MLOCK, MCL, MADV, MS, MREMAP, FADV, FALLOC, MFD, SWAP_FLAG, SEEK, SYNC_FILE_RANGE):
        yield f"`{table.prefix}`: " + _names(name.removeprefix(table.prefix) for name in table.values) + "\n"
    yield "## Steps: accesses, time, control\n"
    for control in CONTROL_STEPS:
        yield _model(f"`{control.step}`", control, level=3)
    yield _model("Patterns", PatternParent)
    for pattern in _PATTERNS:
        yield _typed(pattern, tuple(PatternParent.model_fields))
    yield _model("Outputs", OutputsSpec)
    yield _model("Series", SeriesSpec, level=3)
    yield _series_names()
    yield from _machine()


def _series_names() -> str:
    groups = "; ".join(f"`{name}`: {_names(counters)}" for name, counters in SERIES_GROUPS.items())
    return f"Fields of a device, as in `sda.in_flight`: {_names(DEVICE_COUNTERS)}. Groups of counters: {groups}.\n"


def _machine() -> Iterator[str]:
    yield _model("Machine", MachineSpec)
    yield _table("### Architectures", ("name", "page sizes", "memory, at most", "CPUs, at most"), _arches())
    yield _model("TLBs", TlbSpec, level=3)
    yield _model("One TLB", TlbLevelSpec, level=3)
    yield _model("Zone", ZoneSpec, level=3)
    yield _model("Swap", SwapSpec, level=3)
    yield "## Devices\n"
    for device in (SataSsd, Nvme, Hdd):
        yield _typed(device, ())
    yield _model("Transfers that fail", ErrorSpec, level=3)
    yield _model("Stalls", StallSpec, level=3)
    yield "### Latency distributions\n"
    for latency in _LATENCIES:
        yield _typed(latency, ())
    yield _table("## Costs", ("name", "default", "what it pays for", "source"), _costs())


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _typed(model: type[SpecModel], leave_out: tuple[str, ...]) -> str:
    """A model that is chosen by its `type`."""
    return _model(f"`type: {model.model_fields['type'].default}`", model, level=3, leave_out=("type", *leave_out))


def _model(title: str, model: type[SpecModel], level: int = 2, leave_out: tuple[str, ...] = ()) -> str:
    rows = _rows(key for key in keys_of(model) if key.name not in leave_out)
    heading = f"{'#' * level} {title}\n\n{' '.join((model.__doc__ or '').split())}\n"
    return _table(heading.rstrip(), ("key", "takes", "default", "meaning"), rows) if rows else heading


def _rows(keys: Iterable[Key]) -> list[Row]:
    return [
        (f"`{key.name}`", _linked(key.takes), "**required**" if key.required else _default(key.default), key.meaning)
        for key in keys
    ]


def _linked(takes: str) -> str:
    """What a key takes, with the sections of models linked."""
    for names, link in _LINKS:
        for name in names[:-1]:
            takes = takes.replace(f"keys of {name} or ", "")
        takes = takes.replace(f"keys of {names[-1]}", link)
    return takes


def _default(value: Any) -> str:
    if value in (None, "", [], {}) and value is not False:
        return ""
    return (
        f"`{value}`"
        if isinstance(value, (str, int, float)) and not isinstance(value, bool)
        else f"`{json.dumps(value)}`"
    )


def _table(heading: str, columns: Row, rows: Iterable[Row]) -> str:
    lines = [*([heading, ""] if heading else []), _line(columns), "|" + "---|" * len(columns)]
    return "\n".join([*lines, *(_line(row) for row in rows)]) + "\n"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _sysctls() -> list[Row]:
    return [
        (f"`{name}`", _default(s.default) if s.default is not None else "computed", s.what)
        for name, s in SYSCTLS.items()
    ]


def _rlimits() -> Iterator[Row]:
    for name, resource in RESOURCES.items():
        limits = (resource.default.soft, resource.default.hard)
        unit = exact_bytes if resource.unit == "bytes" else int
        yield (
            f"`{name}`",
            ", ".join(UNLIMITED[0] if n == RLIM_INFINITY else str(unit(n)) for n in limits),
            resource.what,
        )


def _arches() -> Iterator[Row]:
    for name, arch in ARCHES.items():
        sizes = ", ".join(str(exact_bytes(size)) for size in arch.page_sizes)
        yield f"`{name}`", sizes, str(exact_bytes(arch.max_ram)), str(arch.max_cpus)


def _costs() -> Iterator[Row]:
    for name, cost in COSTS.items():
        yield (
            f"`{name}`",
            exact_duration(cost.default) if cost.unit == "ns" else str(cost.default),
            cost.what,
            cost.source,
        )
