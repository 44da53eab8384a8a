"""What each key of the files takes, its default and its meaning, read off the models (for schema and reference)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from vmsim.spec.expr import BinOp, Call, Num, Reg
from vmsim.spec.model import SpecModel
from vmsim.spec.syscalls import StepParent
from vmsim.spec.values import Checked, Choice, Expression, FlagSet, Quantity, Real

Marker = Quantity | Real | Choice | Expression | FlagSet | Checked
_EXPRESSIONS = {
    "bytes": "a size or an expression",
    "ns": "a duration or an expression",
    "count": "a number or an expression",
    "any": "an expression",
}
_FEW = 8


@dataclass(frozen=True)
class Key:
    """One key: what it takes in words, its default as the YAML has it (None: it has none), its meaning."""

    name: str
    takes: str
    required: bool
    default: Any
    meaning: str


def keys_of(model: type[SpecModel]) -> list[Key]:
    """The keys of a model in the order of its fields."""
    model.model_rebuild()
    return [_key(name, info) for name, info in model.model_fields.items()]


def _key(name: str, info: FieldInfo) -> Key:
    required = info.is_required()
    default = None if required or info.default_factory is not None else _as_written(info)
    return Key(
        info.alias or name, takes(info.annotation, tuple(info.metadata)), required, default, info.description or ""
    )


def _as_written(info: FieldInfo) -> Any:
    """A default in the form that the YAML has."""
    marker = _marker(info.annotation, tuple(info.metadata))
    value = info.default
    write: Callable[[Any], Any] | None = None
    if isinstance(marker, Quantity):
        write = marker.format
    elif isinstance(marker, (Expression, FlagSet, Checked)):
        write = marker.dump
    if value is None or write is None:
        return _plain(value)
    return write(value)


def _plain(value: Any) -> Any:
    if isinstance(value, SpecModel):
        written = value.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
        return {"type": value.type, **written} if hasattr(value, "type") else written
    if isinstance(value, (Num, Reg, BinOp, Call)):
        return None
    return list(value) if isinstance(value, tuple) else value


def _marker(annotation: Any, metadata: tuple[Any, ...]) -> Marker | None:
    """What reads a field: the mark in its type, or in the type that may be None."""
    for item in reversed(metadata):
        if isinstance(item, (Quantity, Real, Choice, Expression, FlagSet, Checked)):
            return item
    if get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            found = _marker(part, getattr(part, "__metadata__", ()))
            if found is not None:
                return found
    return None


def takes(annotation: Any, metadata: tuple[Any, ...]) -> str:
    """What a field takes, in words."""
    marker = _marker(annotation, metadata)
    if marker is not None:
        return _marked(marker)
    if hasattr(annotation, "__metadata__"):
        return takes(get_args(annotation)[0], annotation.__metadata__)
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        models = [part for part in parts if part is not NoneType]
        steps = any(StepParent in getattr(part, "__mro__", ()) for part in map(_bare, models))
        return "a step" if steps else " or ".join(dict.fromkeys(takes(part, ()) for part in models))
    if origin is tuple:
        inner = takes(parts[0], ())
        return "a list of steps" if inner == "a step" else f"a list: {inner}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping: {takes(parts[0], ())} to {takes(parts[1], ())}"
    if annotation is bool:
        return "true or false"
    if isinstance(annotation, type) and issubclass(annotation, SpecModel):
        return f"keys of {annotation.__name__}"
    return "text"


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation


def _marked(marker: Marker) -> str:
    if isinstance(marker, Choice):
        article = "an" if marker.what[0] in "aeiou" else "a"
        return ", ".join(marker.names) if len(marker.names) <= _FEW else f"{article} {marker.what}"
    if isinstance(marker, Expression):
        return _EXPRESSIONS[marker.kind]
    if isinstance(marker, FlagSet):
        return f"{marker.table.prefix} names" if marker.table.combine else f"one {marker.table.prefix} name"
    if isinstance(marker, Checked):
        return str(marker.schema.get("title", "text"))
    return marker.what


def models_in(model: type[SpecModel]) -> Iterator[type[SpecModel]]:
    """A model and all that its fields are made of, each once."""
    seen: dict[type[SpecModel], None] = {}
    _collect(model, seen)
    yield from seen


def _collect(annotation: Any, seen: dict[type[SpecModel], None]) -> None:
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, SpecModel):
        if annotation in seen:
            return
        seen[annotation] = None
        annotation.model_rebuild()
        for info in annotation.model_fields.values():
            _collect(info.annotation, seen)
    for part in get_args(annotation):
        _collect(part, seen)
