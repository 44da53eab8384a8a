"""Field types of the specs: numbers with units, names, flags. Each reads, writes and describes itself (JSON Schema).

A quantity is an int in memory (bytes, nanoseconds, bytes per second) and its exact text in a JSON dump.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, NoReturn

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from vmsim.errors import unknown_name
from vmsim.spec.expr import Expr, Kind, Num, check_register, format_expr, parse_expr
from vmsim.spec.flags import FlagTable, shown
from vmsim.units import GIB, KIB, MIB, NS_PER_MS, NS_PER_S, NS_PER_US, TIB, parse_bytes, parse_duration, parse_rate

MAX_INT64: Final = (1 << 63) - 1
SPEC_ERROR: Final = "spec"  # the type of errors whose message needs no translation
_HUGE_EXPONENT: Final = re.compile(r"[eE][+-]?[0-9]{4,}")
_SIZES: Final = (
    (TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"), (10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (1, "B"),
)  # fmt: skip
_TIMES: Final = ((NS_PER_S, "s"), (NS_PER_MS, "ms"), (NS_PER_US, "us"))
_RATES: Final = ((10**9, "GB/s"), (10**6, "MB/s"), (10**3, "kB/s"))
_VARIABLE: Final = r"|\$\{"


def exact_bytes(size: int) -> str | int:
    """A size without loss, in the unit that makes the number smallest: '5 GiB', '1 TB', 4097."""
    number, unit = min(
        ((size // factor, unit) for factor, unit in _SIZES if size % factor == 0), key=lambda pair: pair[0]
    )
    return size if unit == "B" or not size else f"{number} {unit}"


def exact_duration(ns: int) -> str:
    """A duration without loss, in the largest unit that divides it: '80 us'."""
    return next((f"{ns // factor} {unit}" for factor, unit in _TIMES if ns and ns % factor == 0), f"{ns} ns")


def exact_rate(rate: int) -> str:
    """A rate without loss, in the largest unit that divides it: '500 MB/s'."""
    return next((f"{rate // factor} {unit}" for factor, unit in _RATES if rate % factor == 0), f"{rate} B/s")


def whole(given: object) -> int:
    """A whole number, also as text. Raises ValueError."""
    if isinstance(given, str) and re.fullmatch(r"[-+]?[0-9][0-9_]{0,39}", given.strip()):
        return int(given)
    if isinstance(given, bool) or not isinstance(given, int):
        raise ValueError(f"expected a whole number, got {shown(given)}")
    return given


def _guarded(parse: Callable[[object], int], given: object, what: str) -> int:
    """A quantity, refusing what would take the parser minutes (`1e999999999 GiB`) or is no scalar."""
    if not isinstance(given, (int, str)) or isinstance(given, bool):
        raise ValueError(f"expected {what}, got {shown(given)}")
    if len(given) > 100 if isinstance(given, str) else given.bit_length() > 300:
        raise ValueError(f"expected {what}, got {shown(given)}")
    if isinstance(given, str) and _HUGE_EXPONENT.search(given):
        raise ValueError(f"{shown(given)} is out of every range")
    return parse(given)


@dataclass(frozen=True, eq=False)
class Quantity:
    """Annotates an int field: how it is read and written, and its range."""

    what: str
    parse: Callable[[object], int]
    format: Callable[[int], str | int]
    pattern: str = ""
    minimum: int = 0
    maximum: int = MAX_INT64

    def validate(self, given: object) -> int:
        """The number. Raises ValueError with what was expected."""
        value = _guarded(self.parse, given, self.what)
        if not self.minimum <= value <= self.maximum:
            low, high = self._shown(self.minimum), self._shown(self.maximum)
            limits = f"at least {low}" if self.maximum == MAX_INT64 else f"between {low} and {high}"
            raise ValueError(f"expected {self.what}, {limits}, got {shown(given)}")
        return value

    def _shown(self, value: int) -> str:
        return str(self.format(value)) if value else "0"

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        ser = core_schema.plain_serializer_function_ser_schema(self.format, when_used="json")
        return core_schema.no_info_plain_validator_function(self.validate, serialization=ser)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        text: dict[str, object] = {"type": "string", "pattern": (self.pattern or r"^[-+]?[0-9][0-9_]*$") + _VARIABLE}
        numbers = [] if self.parse is parse_rate else [{"type": "integer", "minimum": self.minimum}]
        if self.parse is parse_duration:
            numbers = [{"const": 0}]
        return {"title": self.what, "anyOf": [*numbers, text]}


_NUMBER: Final = r"^\s*[0-9][0-9_]*(\.[0-9]+)?([eE][+-]?[0-9]+)?\s*"
_SIZE_PATTERN: Final = _NUMBER + r"(B|[KMGT]iB|[kKMGT]B)?\s*$"
_TIME_PATTERN: Final = _NUMBER + r"(ns|us|µs|ms|s|min|h)\s*$"
_RATE_PATTERN: Final = _NUMBER + r"([KMGT]i?B|kB|B)/s\s*$"


def size_of(minimum: int = 0, maximum: int = MAX_INT64) -> Quantity:
    """A size in bytes within a range."""
    return Quantity("a size", parse_bytes, exact_bytes, _SIZE_PATTERN, minimum, maximum)


def number_of(minimum: int = 0, maximum: int = MAX_INT64) -> Quantity:
    """A whole number within a range."""
    return Quantity("a whole number", whole, int, "", minimum, maximum)


def duration_of(minimum: int = 0) -> Quantity:
    """A duration in nanoseconds, at least `minimum`."""
    return Quantity("a duration", parse_duration, exact_duration, _TIME_PATTERN, minimum)


Bytes = Annotated[int, size_of()]
Nanoseconds = Annotated[int, duration_of()]
PositiveNanoseconds = Annotated[int, duration_of(1)]
Rate = Annotated[int, Quantity("a rate", parse_rate, exact_rate, _RATE_PATTERN, 1)]
Count = Annotated[int, number_of()]
Positive = Annotated[int, number_of(1)]


@dataclass(frozen=True, eq=False)
class Real:
    """Annotates a float field within a range; `percent` also takes '50 %'."""

    what: str
    minimum: float = 0.0
    maximum: float = 1.0
    open_minimum: bool = False

    def validate(self, given: object) -> float:
        """The number. Raises ValueError with what was expected."""
        value = given
        if isinstance(given, str) and len(given) < 40:
            try:
                value = float(given)
            except ValueError:
                value = given
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"expected {self.what}, got {shown(given)}")
        inside = self.minimum < value if self.open_minimum else self.minimum <= value
        if not (inside and value <= self.maximum):
            low = "more than" if self.open_minimum else "from"
            raise ValueError(f"expected {self.what} {low} {self.minimum:g} up to {self.maximum:g}, got {shown(given)}")
        return float(value)

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        text = {"type": "string", "pattern": r"^[-+0-9.eE]+$" + _VARIABLE}
        return {
            "title": self.what,
            "anyOf": [{"type": "number", "minimum": self.minimum, "maximum": self.maximum}, text],
        }


Probability = Annotated[float, Real("a probability")]
Share = Annotated[float, Real("a share", open_minimum=True)]


@dataclass(frozen=True, eq=False)
class Expression:
    """Annotates an `Expr` field: what the expression's value is measured in."""

    kind: Kind

    def validate(self, given: object) -> Expr:
        """The tree. Raises ValueError with what was expected."""
        return parse_expr(given, self.kind)

    def dump(self, expr: Expr) -> str | int:
        """The expression as its text, or a constant in its unit."""
        if isinstance(expr, Num) and self.kind == "ns":
            return exact_duration(expr.value)
        if isinstance(expr, Num) and self.kind == "bytes" and expr.value > 0:
            return exact_bytes(expr.value)
        return format_expr(expr)

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        ser = core_schema.plain_serializer_function_ser_schema(self.dump, when_used="json")
        return core_schema.no_info_plain_validator_function(self.validate, serialization=ser)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        names = {"bytes": "a size or an expression", "ns": "a duration or an expression"}
        return {"title": names.get(self.kind, "a number or an expression"), "type": ["integer", "string"]}


ByteExpr = Annotated[Expr, Expression("bytes")]
TimeExpr = Annotated[Expr, Expression("ns")]
CountExpr = Annotated[Expr, Expression("count")]
AnyExpr = Annotated[Expr, Expression("any")]


@dataclass(frozen=True, eq=False)
class FlagSet:
    """Annotates an int field that is given as names of a flag table."""

    table: FlagTable

    def validate(self, given: object) -> int:
        """The flags' value. Raises ValueError, or ValidationError with every wrong name of a list."""
        if not isinstance(given, (list, tuple)):
            return self.table.parse(given)
        errors: list[tuple[tuple[str | int, ...], str]] = []
        for i, name in enumerate(given):
            try:
                self.table.value(name)
            except ValueError as error:
                errors.append(((i,), str(error)))
        if errors:
            raise_all(self.table.prefix, errors)
        return self.table.parse(given)

    def dump(self, mask: int) -> list[str] | str | int:
        """The flags as a list of names, or the one value's name."""
        names = self.table.names(mask)
        if isinstance(names, int):
            return names
        return list(names) if self.table.combine else names[0]

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        ser = core_schema.plain_serializer_function_ser_schema(self.dump, when_used="json")
        return core_schema.no_info_plain_validator_function(self.validate, serialization=ser)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        names = list(self.table.values)
        one: JsonSchemaValue = {"anyOf": [{"enum": names}, {"type": ["string", "integer"]}]}
        flags = f"{self.table.prefix} flags" if self.table.combine else f"a {self.table.prefix} name"
        return {"title": flags, "anyOf": [*one["anyOf"], {"type": "array", "items": one}]}


@dataclass(frozen=True, eq=False)
class Choice:
    """Annotates a str field that is one of a few names."""

    what: str
    names: tuple[str, ...]

    def validate(self, given: object) -> str:
        """The name. Raises ValueError, naming the nearest."""
        if not isinstance(given, str):
            raise ValueError(f"expected a {self.what} ({', '.join(self.names)}), got {shown(given)}")
        if given not in self.names:
            raise ValueError(unknown_name(self.what, given[:80], self.names))
        return given

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"title": self.what, "enum": list(self.names)}


@dataclass(frozen=True, eq=False)
class Checked:
    """Annotates a field that one function reads; `schema` describes what it takes, `dump` writes it to JSON."""

    check: Callable[[Any], Any]
    schema: Mapping[str, Any]
    dump: Callable[[Any], Any] | None = None

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        ser = core_schema.plain_serializer_function_ser_schema(self.dump, when_used="json") if self.dump else None
        return core_schema.no_info_plain_validator_function(self.check, serialization=ser)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return dict(self.schema)


def _text(given: object) -> str:
    if (
        isinstance(given, bool)
        or not isinstance(given, (str, int))
        or (isinstance(given, int) and given.bit_length() > 300)
    ):
        raise ValueError(f"expected text, got {shown(given)}")
    return str(given)


def _title(given: object) -> str:
    text = _text(given).strip()
    if not text or len(text) > 500 or "\n" in text:
        raise ValueError(f"expected one line of text, got {shown(given)}")
    return text


def _name(given: object) -> str:
    text = _text(given)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}", text, re.ASCII):
        raise ValueError(f"expected a name (letters, digits, . _ + -), got {shown(given)}")
    return text


def _row_id(given: object) -> str:
    text = _text(given)
    if not re.fullmatch(r"[a-z0-9_-]{1,100}", text, re.ASCII):
        raise ValueError(f"expected a short id (a-z, 0-9, _ and -), got {shown(given)}")
    return text


Text = Annotated[str, Checked(_text, {"title": "text", "type": ["string", "number"]})]
Title = Annotated[str, Checked(_title, {"title": "one line of text", "type": ["string", "number"]})]
Name = Annotated[str, Checked(_name, {"title": "a name", "type": ["string", "number"]})]
RowId = Annotated[str, Checked(_row_id, {"title": "a short id", "type": ["string", "integer"]})]
Register = Annotated[
    str, Checked(check_register, {"title": "a register name", "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"})
]


def mapping(given: object, what: str) -> Mapping[str, object]:
    """What was given, if it is a mapping (nothing at all is an empty one). Raises ValueError."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(f"expected a mapping of {what}, got {shown(given)}")
    return given


def raise_all(title: str, errors: Iterable[tuple[tuple[str | int, ...], str]]) -> NoReturn:
    """Raise one ValidationError of several messages, each at its path below the field."""
    details = [
        InitErrorDetails(type=PydanticCustomError(SPEC_ERROR, "{message}", {"message": message}), loc=path, input=None)
        for path, message in errors
    ]
    raise ValidationError.from_exception_data(title, details)


def read_entries(given: object, what: str, known: Iterable[str], parse: Callable[[str, object], Any]) -> dict[str, Any]:
    """A mapping of known names with each value parsed. Raises ValueError, or ValidationError with every mistake."""
    entries: dict[str, Any] = {}
    errors: list[tuple[tuple[str | int, ...], str]] = []
    names = tuple(known)
    for name, value in mapping(given, what).items():
        try:
            if name not in names:
                raise ValueError(unknown_name(what, str(name)[:80], names))
            entries[name] = parse(name, value)
        except ValueError as error:
            errors.append(((name,), str(error)))
    if errors:
        raise_all(what, errors)
    return entries
