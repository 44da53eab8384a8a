"""No input is a traceback or a hang: mutated files, trees and options are read, or refused with problems."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vmsim.errors import SpecError
from vmsim.spec.load import load_experiment, load_machine, make_experiment

EXPERIMENT = (Path(__file__).parent / "example.yaml").read_text()

TOKENS = [
    "{", "}", "[", "]", ":", "- ", "&a ", "*a", "<<: *a", "!!python/object:x ", "|\n", "> ", "? ", "\t", "'", '"',
    "#", "%", "@", "null", "true", "-1", "1e400", "1e999999999 GiB", "9" * 300, "\0", "\u2028", "${n}", "${",
    "${${n}}", "inf", "nan", "5 us", "page(", "[[[[[[", "- - - -", "...\n", "---\n", "\ufeff", "\x85", "yes", "0x",
    "mmap: ", "steps: ",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, 0, -1, 1 << 70, 1 << 5000, "", ".", "x", "${n}", "5 GiB", "5 us", [], {}, [[]], {"a": 1}, [{}],
    {"type": "uniform"}, {"type": []}, {"mmap": None}, {"values": 1}, {"values": {"a": 1}}, {"as": "map"}, {"": ""},
    "\0", "x" * 5000, 1.5, float("inf"), float("nan"), {"steps": 3}, [None], {"set": {"set": 1}}, {"fails": 1},
    {"soft": None},
]  # fmt: skip
DATA = yaml.safe_load(EXPERIMENT)
MACHINE = (Path(__file__).resolve().parents[3] / "configs" / "whiteboard.yaml").read_text()


def paths(data: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here] if here else []
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in children:
        found += paths(value, (*here, key))
    return found


edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(["", *TOKENS])), min_size=1, max_size=4)
changes = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from(["set", "del", "add"]), st.sampled_from(VALUES)), max_size=3
)


def mutated(text: str, edited: list[tuple[float, int, str]]) -> str:
    for where, length, token in edited:
        start = int(where * len(text))
        text = text[:start] + token + text[start + length :]
    return text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits, st.booleans())
def test_mutated_text(tmp_path: Path, edited: list[tuple[float, int, str]], machine: bool) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(mutated(MACHINE if machine else EXPERIMENT, edited).encode("utf-8", "surrogatepass"))
    _quiet(lambda: load_machine(path) if machine else load_experiment(path))


@settings(max_examples=60, deadline=None)
@given(changes)
def test_mutated_trees(changed: list[tuple[int, str, Any]]) -> None:
    data = copy.deepcopy(DATA)
    for number, how, value in changed:
        places = paths(data)
        *parents, last = places[number % len(places)]
        holder = data
        for step in parents:
            holder = holder[step]
        if how == "set":
            holder[last] = copy.deepcopy(value)
        elif how == "del":
            del holder[last]
        elif isinstance(holder, dict):
            holder["extra"] = copy.deepcopy(value)
        else:
            holder.insert(0, copy.deepcopy(value))
    _quiet(lambda: make_experiment(data))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 200), st.sampled_from([*TOKENS, "5", "[1, 2]", "{a: b}"]), edits)
def test_mutated_options(number: int, value: str, edited: list[tuple[float, int, str]]) -> None:
    places = paths(DATA)
    option = ".".join(str(step) for step in places[number % len(places)]) + "=" + value
    _quiet(lambda: make_experiment(DATA, [mutated(option, edited)]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_binary_junk(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "junk.yaml"
    path.write_bytes(junk)
    _quiet(lambda: load_experiment(path))
    _quiet(lambda: load_machine(path))


def _quiet(load: Any) -> None:
    try:
        load()
    except SpecError as error:
        assert error.problems
        assert all(problem.message and problem.file for problem in error.problems)
        assert str(error)


@pytest.mark.parametrize(
    "constants",
    [
        {"a": ["x"] * 10, **{f"b{i}": [f"${{{'a' if i == 0 else f'b{i - 1}'}}}"] * 10 for i in range(20)}},
        {"a": "x" * 10, **{f"b{i}": f"${{{'a' if i == 0 else f'b{i - 1}'}}}" * 10 for i in range(20)}},
        {"a": [1], **{f"b{i}": [[f"${{{'a' if i == 0 else f'b{i - 1}'}}}"]] for i in range(200)}},
    ],
    ids=["lists", "text", "depth"],
)
def test_constants_can_not_explode(constants: dict[str, Any]) -> None:
    last = list(constants)[-1]
    data = {"title": "x", "machine": {"ram": "1 GiB"}, "constants": constants, "program": f"${{{last}}}"}
    with pytest.raises(SpecError):
        make_experiment(data)


def test_problems_without_end_are_counted() -> None:
    data = {"title": "x", "machine": {"ram": "1 GiB"}, "program": [{"compute": "5 us"}], "plots": ["x"] * 3000}
    with pytest.raises(SpecError) as error:
        make_experiment(data)
    assert "and 2000 more problems" in error.value.problems[-1].message
