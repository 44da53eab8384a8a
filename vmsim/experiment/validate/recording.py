"""Whole-system recordings: gzip'd JSON of what a kernel counted while known programs ran, one fresh boot for each result."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from vmsim.errors import VmsimError, unknown_name
from vmsim.units import MIB

Json = Mapping[str, Any]
SEED: Final = 88172645463325252
_LOCKING: Final = ("plain", "mlock", "onfault", "each", "segv")
_LABEL: Final = re.compile(
    r"(?P<size>[a-z]+|[\d.]+x)_(?:(?P<pat>rand|seq|zipf|hot|stride)_)?(?P<mode>plain|mlock|onfault|each|segv)"
    r"(?:_b(?P<batch>\d+))?(?:_n(?P<n>\d+))?(?:_fa\d+)?"
)
_SIZES: Final = {"quarter": 0.25, "half": 0.5, "anonhalf": 0.5, "anonquarter": 0.25}


@dataclass(frozen=True)
class Run:
    """One program's run: its mode (`anon`, `lof`, ...), its parameters as text, and what was counted; `killed` if it never reported."""

    mode: str
    params: Mapping[str, str]
    data: Json = field(default_factory=dict)
    killed: bool = False

    def number(self, name: str, default: int) -> int:
        """A parameter that is a whole number."""
        return int(self.params.get(name, default))

    def phase(self, name: str) -> Json:
        """A recorded phase, {} if there is none of that name."""
        found: Json = self.data.get("phases", {}).get(name, {})
        return found

    def counts(self, name: str) -> Mapping[str, int]:
        """A recorded phase's changes of /proc/vmstat, {} if there is none of that name."""
        found: Mapping[str, int] = self.phase(name).get("vmstat", {})
        return found

    @property
    def phases(self) -> tuple[str, ...]:
        """The names of the recorded phases in their order."""
        return tuple(self.data.get("phases", {}))

    @property
    def seed(self) -> int:
        """The start state of the program's generator."""
        return self.number("seed", SEED)


@dataclass(frozen=True)
class Result:
    """One boot's result: the runs of one label, in the machine described by `boot`."""

    label: str
    rep: int
    boot: Json
    data: Json
    runs: tuple[Run, ...]

    @property
    def raw(self) -> str:
        """The console's text, where it was kept."""
        return str(self.data.get("raw", ""))

    @property
    def hogs(self) -> tuple[str, ...]:
        """The lines of the programs of an OOM test that finished."""
        return tuple(self.data.get("hog", ()))


@dataclass(frozen=True)
class Case:
    """All repetitions of one label."""

    path: str
    kernel: str
    label: str
    results: tuple[Result, ...]

    @property
    def first(self) -> Result:
        """The first repetition, whose machine and programs are those of the others."""
        return self.results[0]


class _RunModel(BaseModel):
    cmd: str = Field(min_length=1)
    params: dict[str, Any]


class _ResultModel(BaseModel):
    label: str
    rep: int = 0
    boot: str
    runs: list[_RunModel]


class _Recording(BaseModel):
    """What every recording has; each case looks for the rest itself."""

    kernel: str
    boots: dict[str, dict[str, Any]]
    results: list[_ResultModel]

    @model_validator(mode="after")
    def _booted(self) -> Self:
        for number, result in enumerate(self.results):
            if result.boot not in self.boots:
                raise ValueError(f"results.{number}.boot: {unknown_name('boot', result.boot, self.boots)}")
        return self


def read_cases(path: Path) -> list[Case]:
    """The cases of a recording, in the order of their labels' first results. Raises VmsimError for what isn't one."""
    data = _load(path)
    try:
        _Recording.model_validate(data)
        boots, kernel = data["boots"], str(data["kernel"])
        results = [_result(entry, boots[entry["boot"]]) for entry in data["results"]]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise VmsimError(f"{path}: not a recording of a whole system: {where + ': ' if where else ''}{first['msg']}") from None
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise VmsimError(f"{path}: not a recording of a whole system: {type(error).__name__} {error}") from None
    by_label: dict[str, list[Result]] = {}
    for result in results:
        by_label.setdefault(result.label, []).append(result)
    return [Case(str(path), kernel, label, tuple(found)) for label, found in by_label.items()]


def _load(path: Path) -> Json:
    try:
        raw = path.read_bytes()
        data = json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
    except OSError as error:
        raise VmsimError(f"{path}: {error.strerror or error}") from None
    except (EOFError, zlib.error, ValueError, RecursionError) as error:
        raise VmsimError(f"{path}: not JSON, plain or gzip'd: {error}") from None
    if not isinstance(data, dict):
        raise VmsimError(f"{path}: expected an object with boots and results")
    return data


def _result(entry: Json, boot: Json) -> Result:
    label = str(entry["label"])
    runs = [Run(str(run["cmd"]).split()[0], dict(run["params"]), run) for run in entry["runs"]]
    if not runs and not entry.get("hog"):
        runs = _from_label(label, int(boot["qemu"]["mem_mb"]) * MIB)
    return Result(label, int(entry.get("rep", 0)), boot, entry, tuple(runs))


def _from_label(label: str, ram: int) -> list[Run]:
    """The run of a program that was killed before it could report: all that is known of it is its label."""
    match = _LABEL.fullmatch(label)
    if match is None:
        return []
    size = match["size"]
    times = _SIZES.get(size) or (float(size[:-1]) if size.endswith("x") else None)
    if times is None:
        return []
    params = {
        "file": "anon" if size.startswith("anon") else "/data/big", "pages": str(int(times * ram) // 4096), "mode": match["mode"],
        "batch": match["batch"] or "1", "n": match["n"] or "100000", "pat": match["pat"] or "rand", "seed": str(SEED),
    }  # fmt: skip
    return [Run("lof", params, killed=True)]

