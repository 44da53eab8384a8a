"""A sweep: values of some keys along named axes, and the rows that every combination of them makes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field

from vmsim.errors import SpecError
from vmsim.spec.model import SpecModel
from vmsim.spec.nodes import Node
from vmsim.spec.values import Checked, Title, mapping, raise_all

if TYPE_CHECKING:
    from vmsim.spec.rows import Source

MAX_ROWS: Final = 10_000
_VALUE_SCHEMA = {"title": "values", "type": "array", "minItems": 1}


def _read_values(given: object) -> tuple[Any, ...]:
    if not isinstance(given, (list, tuple)) or not given:
        raise ValueError("expected a list of at least one value")
    return tuple(given)


def read_places(given: object) -> dict[str, str]:
    """Where a row stands, by axis: one line of text each. Raises ValueError."""
    found: dict[str, str] = {}
    errors: list[tuple[tuple[str | int, ...], str]] = []
    for axis, value in mapping(given, "axes").items():
        if isinstance(value, (str, int)) and not isinstance(value, bool) and 0 < len(str(value).strip()) <= 100:
            found[str(axis)] = str(value).strip()
        else:
            errors.append(((str(axis),), "expected a number, a quantity or a short text"))
    if errors:
        raise_all("axes", errors)
    return found


def _read_key(given: object) -> str:
    if not isinstance(given, str) or not given.strip():
        raise ValueError("expected a dotted key such as kernel.sysctl.vm.swappiness")
    return given.strip()


Key = Annotated[str, Checked(_read_key, {"title": "a dotted key", "type": "string"})]
Places = Annotated[Mapping[str, str], Checked(read_places, {"title": "places on axes", "type": ["object", "null"]})]


class AxisSpec(SpecModel):
    """One axis of a sweep."""

    key: Key = Field(description="what changes along the axis, a dotted key as in a row's `set`")
    values: Annotated[tuple[Any, ...], Checked(_read_values, _VALUE_SCHEMA)] = Field(description="the values, in order")
    names: tuple[Title, ...] | None = Field(default=None, description="what the values are called; needed where they are mappings")


class CurvesSpec(SpecModel):
    """What the plot `curves` shows."""

    x: Title | None = Field(default=None, description="axis of the sweep that goes from left to right; default: the first")
    y: tuple[Title, ...] = Field(
        default=(), description="a panel each: a phase (its time), a counter, or PHASE.counter; default: the phases"
    )
    marks: Annotated[Mapping[str, str], Checked(read_places, {"title": "places on the axis", "type": ["object", "null"]})] = Field(
        default={}, description="lines across the panels: a text, and where on the axis `x` it stands"
    )


@dataclass(frozen=True)
class _Point:
    """One value of an axis."""

    axis: str
    key: str
    value: Node
    told: Node  # its name, a scalar in its place


def with_sweep(tree: Node, source: Source) -> Node:
    """The tree with each of its rows (or the experiment as a whole) at every point of its sweep; itself where it has none."""
    sweep = tree.get("sweep")
    if sweep is None or not isinstance(sweep.value, dict) or not sweep.value:
        return tree
    axes = [_points(name, axis, tree, source) for name, axis in sweep.items()]
    if not all(axes):
        return tree
    given = tree.get("rows")
    rows = [row for row in given.elements() if isinstance(row.value, dict)] if given is not None else []
    bases: list[Node | None] = [*rows] if rows else [None]
    count = len(bases)
    for axis in axes:
        count *= len(axis)
    if count > MAX_ROWS:
        source.problems.append(sweep.problem(f"{count} rows are more than {MAX_ROWS}"))
        return tree
    place = given or sweep
    made = [_row(base, points, sweep) for base in bases for points in product(*axes)]
    return tree.with_entry("rows", Node(None, place.file, place.line, place.key).holding(tuple(made)))


def _points(name: str, axis: Node, tree: Node, source: Source) -> list[_Point]:
    """The points of an axis; none where it is no axis, which the check of the whole file says, or where it has mistakes."""
    key, values, names = axis.get("key"), axis.get("values"), axis.get("names")
    if key is None or not isinstance(key.value, str) or values is None:
        return []
    told = names.elements() if names is not None else ()
    if told and len(told) != len(values.elements()):
        source.problems.append((names or axis).problem(f"{len(told)} names for {len(values.elements())} values"))
        return []
    points: list[_Point] = []
    seen: set[str] = set()
    for number, value in enumerate(values.elements()):
        label = _filled(told[number] if told else value, tree, source)
        if not isinstance(label.value, (str, int)) or isinstance(label.value, bool):
            source.problems.append(value.problem("expected a single value; one that is not needs a name under `names`"))
        elif str(label.value) in seen:
            source.problems.append(label.problem(f"{str(label.value)[:80]!r} is twice on this axis"))
        else:
            seen.add(str(label.value))
            points.append(_Point(name, key.value, value, label))
    return points if len(points) == len(values.elements()) else []


def _filled(node: Node, tree: Node, source: Source) -> Node:
    try:
        return source.filled_with(tree, node)
    except SpecError as error:
        source.problems.extend(error.problems)
        return node


def _row(base: Node | None, points: tuple[_Point, ...], sweep: Node) -> Node:
    """A row at one point: its name and id say where it stands, its `set` has the point's values after the row's own."""
    place = Node(None, sweep.file, sweep.line, sweep.key)
    row = place.holding(dict(base.items())) if base is not None else place.holding({})
    name, given_id = row.get("name"), row.get("id")
    where = ", ".join(f"{point.axis} {point.told.value}" for point in points)
    told = f"{name.value}, {where}" if name is not None else where
    row = row.with_entry("name", Node(told, place.file, place.line, place.key))
    first = given_id or name
    start = [str(first.value)] if first is not None else []
    ident = "-".join(_slug(part) for part in (*start, *(str(point.told.value) for point in points)))
    row = row.with_entry("id", Node(ident[:100], place.file, place.line, place.key))
    row = row.with_entry("set", _merged(row.get("set"), {point.key: point.value for point in points}, place))
    row = row.with_entry("at", _merged(row.get("at"), {point.axis: point.told for point in points}, place))
    if row.get("line") is None and name is not None and (base is None or base.get("at") is None):
        row = row.with_entry("line", name)
    return row


def _merged(given: Node | None, more: dict[str, Node], place: Node) -> Node:
    return place.holding({**(dict(given.items()) if given is not None else {}), **more})


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-").replace(".", "_") or "x"
