"""What a publication says of a row: times or failures of its phases, their kind and tolerance, counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from vmsim.errors import unknown_name
from vmsim.spec.counters import FACTS
from vmsim.spec.errnos import ERRNOS
from vmsim.spec.model import SpecModel
from vmsim.spec.process_calls import SYSCALL_NAMES
from vmsim.spec.values import Checked, Choice, Real, duration_of, exact_duration, mapping, number_of, raise_all

_DURATION = duration_of()
_KIND = Choice("kind", ("fitted", "predicted"))
_PERCENT = Real("a percentage", 0.0, 1_000_000.0)
_COUNT = number_of()


class Failure(SpecModel):
    """A published failure: the phase ends with this error, of this call if one is named."""

    fails: Annotated[str, Choice("errno", tuple(ERRNOS))] = Field(description="errno name")
    call: Annotated[str, Choice("system call", SYSCALL_NAMES)] | None = Field(
        default=None, description="the call that returns it"
    )


def _each(given: object, what: str, read: Any) -> dict[str, Any]:
    """A mapping by any names with each value read; all mistakes are raised together."""
    values: dict[str, Any] = {}
    errors: list[tuple[tuple[str | int, ...], str]] = []
    for name, value in mapping(given, what).items():
        try:
            values[str(name)] = read(value)
        except ValueError as error:
            errors.append(((str(name),), str(error)))
    if errors:
        raise_all(what, errors)
    return values


def _read_time(given: object) -> int | Failure:
    if isinstance(given, Failure):
        return given
    if not isinstance(given, Mapping):
        return _DURATION.validate(given)
    unknown = [key for key in given if key not in ("fails", "call")]
    if unknown:
        raise ValueError(unknown_name("key", str(unknown[0])[:80], ("fails", "call")))
    if "fails" not in given:
        raise ValueError("expected fails: and an errno name")
    call = given.get("call")
    return Failure(
        fails=Choice("errno", tuple(ERRNOS)).validate(given["fails"]),
        call=None if call is None else Choice("system call", SYSCALL_NAMES).validate(call),
    )


def _read_tolerance(given: object) -> tuple[float, float]:
    if isinstance(given, (list, tuple)):
        if len(given) != 2:
            raise ValueError(f"expected [percent below, percent above], got {len(given)} values")
        return _PERCENT.validate(given[0]), _PERCENT.validate(given[1])
    both = _PERCENT.validate(given)
    return both, both


def _read_facts(given: object) -> dict[str, int]:
    values: dict[str, int] = {}
    errors: list[tuple[tuple[str | int, ...], str]] = []
    for name, value in mapping(given, "facts").items():
        try:
            if name not in FACTS:
                raise ValueError(unknown_name("counter", str(name)[:80], FACTS).split("(known:")[0].rstrip())
            values[name] = _COUNT.validate(value)
        except ValueError as error:
            errors.append(((str(name),), str(error)))
    if errors:
        raise_all("facts", errors)
    return values


def _dump_times(times: Mapping[str, int | Failure]) -> dict[str, Any]:
    def text(value: int | Failure) -> Any:
        return value.model_dump(mode="json", exclude_none=True) if isinstance(value, Failure) else exact_duration(value)

    return {phase: text(value) for phase, value in times.items()}


def _schema(title: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {"title": title, "type": ["object", "null"], "additionalProperties": values}


_FAILURE_SCHEMA = {
    "type": "object",
    "properties": {"fails": {"enum": list(ERRNOS)}, "call": {"enum": list(SYSCALL_NAMES)}},
    "required": ["fails"],
    "additionalProperties": False,
}
_FACTS_SCHEMA = {
    "title": "counts",
    "type": ["object", "null"],
    "properties": {name: {"type": ["integer", "string"]} for name in sorted(FACTS)},
    "additionalProperties": False,
}
_PERCENTS = {"anyOf": [{"type": "number"}, {"type": "string"}, {"type": "array", "minItems": 2, "maxItems": 2}]}

PublishedTimes = Annotated[
    Mapping[str, int | Failure],
    Checked(
        lambda given: _each(given, "phases", _read_time),
        _schema("times of phases", {"anyOf": [{"type": ["string", "integer"]}, _FAILURE_SCHEMA]}),
        _dump_times,
    ),
]
Kinds = Annotated[
    Mapping[str, str],
    Checked(
        lambda given: _each(given, "phases", _KIND.validate), _schema("kinds of phases", {"enum": list(_KIND.names)})
    ),
]
Tolerances = Annotated[
    Mapping[str, tuple[float, float]],
    Checked(lambda given: _each(given, "phases", _read_tolerance), _schema("percentages of phases", _PERCENTS)),
]
Facts = Annotated[Mapping[str, int], Checked(_read_facts, _FACTS_SCHEMA)]
