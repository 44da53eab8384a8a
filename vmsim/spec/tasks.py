"""Tasks: how many run which program, from when on, with which limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from vmsim.spec.capabilities import CAPABILITIES
from vmsim.spec.expr import Num, check_register, parse_expr
from vmsim.spec.flags import shown
from vmsim.spec.model import SpecModel
from vmsim.spec.rlimits import RESOURCES, UNLIMITED, Rlimit
from vmsim.spec.steps import Program
from vmsim.spec.values import (
    Checked,
    Choice,
    Name,
    Nanoseconds,
    exact_bytes,
    mapping,
    number_of,
    raise_all,
    read_entries,
    size_of,
)
from vmsim.struct.tasks import RLIM_INFINITY

_LIMIT = {"bytes": size_of(), "count": number_of(), "seconds": number_of(), "us": number_of()}


def _read_limit(name: str, given: object) -> int:
    if isinstance(given, str) and given in UNLIMITED:
        return RLIM_INFINITY
    return _LIMIT[RESOURCES[name].unit].validate(given)


def _read_rlimit(name: str, given: object) -> Rlimit:
    if isinstance(given, Rlimit):
        return given
    if not isinstance(given, Mapping):
        both = _read_limit(name, given)
        return Rlimit(both, both)
    soft_hard = read_entries(given, "limit", ("soft", "hard"), lambda _, value: _read_limit(name, value))
    if "soft" not in soft_hard:
        raise ValueError("expected soft and hard")
    limit = Rlimit(soft_hard["soft"], soft_hard.get("hard", soft_hard["soft"]))
    if limit.soft > limit.hard:
        raise ValueError(f"the soft limit {shown(given['soft'])} is above the hard one")
    return limit


def _read_rlimits(given: object) -> dict[str, Rlimit]:
    return read_entries(given, "rlimit", RESOURCES, _read_rlimit)


def _dump_rlimits(limits: Mapping[str, Rlimit]) -> dict[str, Any]:
    def text(name: str, value: int) -> str | int:
        if value == RLIM_INFINITY:
            return UNLIMITED[0]
        return exact_bytes(value) if RESOURCES[name].unit == "bytes" else value

    return {name: {"soft": text(name, limit.soft), "hard": text(name, limit.hard)} for name, limit in limits.items()}


def _rlimits_schema() -> dict[str, Any]:
    value = {"type": ["integer", "string"]}
    both = {
        "type": "object",
        "properties": {"soft": value, "hard": value},
        "required": ["soft"],
        "additionalProperties": False,
    }
    properties = {name: {"description": resource.what, "anyOf": [value, both]} for name, resource in RESOURCES.items()}
    return {"title": "rlimits", "type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _read_vars(given: object) -> dict[str, int]:
    values: dict[str, int] = {}
    errors: list[tuple[tuple[str | int, ...], str]] = []
    for name, value in mapping(given, "registers").items():
        try:
            expr = parse_expr(value)
            if not isinstance(expr, Num):
                raise ValueError(f"expected a constant, got {shown(value)}")
            values[check_register(name)] = expr.value
        except ValueError as error:
            errors.append(((str(name),), str(error)))
    if errors:
        raise_all("vars", errors)
    return values


_VARS_SCHEMA = {
    "title": "registers",
    "type": ["object", "null"],
    "additionalProperties": {"type": ["integer", "string"]},
}


class TaskSpec(SpecModel):
    """A task, or several that run the same program."""

    name: Name = Field(description="name in results and overrides")
    count: Annotated[int, number_of(1, 100_000)] = Field(
        default=1, description="how many; each has its own memory and random stream"
    )
    start: Nanoseconds = Field(default=0, description="simulated time at which it starts")
    nice: Annotated[int, number_of(-20, 19)] = Field(default=0, description="nice value")
    oom_score_adj: Annotated[int, number_of(-1000, 1000)] = Field(
        default=0, description="/proc/PID/oom_score_adj: thousandths of memory that the OOM killer adds to its use; -1000: never killed"
    )
    image: Annotated[str, Choice("image", ("dynamic", "none"))] = Field(
        default="dynamic",
        description="dynamic: the 17 VMAs of a small dynamically linked program; none: an empty address space",
    )
    capabilities: tuple[Annotated[str, Choice("capability", tuple(CAPABILITIES))], ...] = Field(
        default=(), description="CAP_ names"
    )
    rlimits: Annotated[Mapping[str, Rlimit], Checked(_read_rlimits, _rlimits_schema(), _dump_rlimits)] = Field(
        default={},
        description="limits by name: a value for both, or {soft: , hard: }; unlimited is none. Default: the kernel's",
    )
    vars: Annotated[Mapping[str, int], Checked(_read_vars, _VARS_SCHEMA)] = Field(
        default={}, description="registers set at the start"
    )
    program: Program = Field(description="the steps")
