"""Quantities as people write them ("5 GiB", "80 us") as integers: bytes, nanoseconds, bytes per second."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
JIFFY_NS = 4 * NS_PER_MS  # HZ=250, as in the recorded kernels
KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30
TIB = 1 << 40

_BYTES = {"": 1, "B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": TIB, "kB": 1000, "KB": 1000, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_NS = {"ns": 1, "us": NS_PER_US, "µs": NS_PER_US, "ms": NS_PER_MS, "s": NS_PER_S, "min": 60 * NS_PER_S, "h": 3600 * NS_PER_S}
_QUANTITY = re.compile(r"\s*([+-]?[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*([A-Za-zµ/%]*)\s*")


def _split(text: object, what: str, units: dict[str, int]) -> int:
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise ValueError(f"expected {what} such as {_example(units)}, got {text!r}")
    number, unit = match.group(1).replace("_", ""), match.group(2)
    if len(number) > 40 or re.search(r"[eE][+-]?[0-9]{3}", number):
        raise ValueError(f"{text!r} is out of range")
    if unit not in units:
        known = ", ".join(u for u in units if u)
        if not unit:
            raise ValueError(f"{what} needs a unit ({known}), got {text}")
        raise ValueError(f"{unit} is not a unit of {what} (expected one of {known}), got {text!r}")
    try:
        value = Decimal(number) * units[unit]
    except InvalidOperation:
        raise ValueError(f"expected {what}, got {text!r}") from None
    if value != value.to_integral_value():
        raise ValueError(f"{text!r} is not a whole number of {'bytes' if 'KiB' in units else 'nanoseconds'}")
    return int(value)


def _example(units: dict[str, int]) -> str:
    return "'5 GiB'" if "GiB" in units else "'80 us'" if "us" in units else "'500 MB/s'"


def parse_bytes(text: object) -> int:
    """Bytes of '4 KiB', '5 GiB', 4096; decimal units (kB, MB, GB) are powers of ten. Raises ValueError."""
    if isinstance(text, bool):
        raise ValueError(f"expected a size such as '5 GiB', got {text!r}")
    return _split(text, "a size", _BYTES)


def parse_duration(text: object) -> int:
    """Nanoseconds of '80 us', '1.5 ms', '2 s'; only 0 may stand without a unit. Raises ValueError."""
    if isinstance(text, (int, float)) and not isinstance(text, bool) and text == 0:
        return 0
    return _split(text, "a duration", _NS)


def parse_rate(text: object) -> int:
    """Bytes per second of '500 MB/s' or '2 GiB/s'. Raises ValueError."""
    return _split(text, "a rate", {f"{unit}/s": factor for unit, factor in _BYTES.items() if unit})


def format_bytes(size: int) -> str:
    """A size in the largest binary unit that divides it well: '5 GiB', '1.5 MiB', '512 B'."""
    for unit, factor in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if abs(size) >= factor:
            return f"{size / factor:.4g} {unit}"
    return f"{size} B"


def format_duration(ns: float) -> str:
    """A duration with four significant digits in a fitting unit: '8.229 s', '0.113 ms', '80 us'."""
    for unit, factor in (("s", NS_PER_S), ("ms", NS_PER_MS), ("us", NS_PER_US)):
        if abs(ns) >= factor:
            return f"{ns / factor:.4g} {unit}"
    return f"{ns:.4g} ns"
