"""The schema for editors and the reference for people: both say what the program reads."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from vmsim.spec.costs import COSTS
from vmsim.spec.experiment import ExperimentFile
from vmsim.spec.fields import keys_of, models_in
from vmsim.spec.load import load_machine
from vmsim.spec.locate import available, packaged
from vmsim.spec.machine import MachineSpec
from vmsim.spec.reference import reference
from vmsim.spec.schema import DRAFT, json_schema
from vmsim.spec.steps import STEPS
from vmsim.spec.sysctl import SYSCTLS

EXPERIMENT = (Path(__file__).parent / "example.yaml").read_text()

CONFIGS = sorted(packaged("configs").glob("*.yaml"))
EXPERIMENTS = sorted(packaged("experiments").glob("*.yaml"))


@cache
def validator(which: Any) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json_schema(which))


def errors(data: Any, which: Any = "any") -> list[str]:
    return [error.message for error in validator(which).iter_errors(data)]


def test_is_a_schema_of_the_draft_it_names() -> None:
    for which in ("any", "experiment", "machine"):
        schema = json_schema(which)
        assert schema["$schema"] == DRAFT
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_machines_are_valid_and_say_where_they_come_from(path: Path) -> None:
    assert errors(yaml.safe_load(path.read_text()), "machine") == []
    machine = load_machine(path)
    assert machine.title
    assert machine.description
    assert machine.source
    assert machine.devices
    assert available("configs")[path.stem].samefile(path)


def test_shipped_experiments_are_valid() -> None:
    for path in EXPERIMENTS:
        assert errors(yaml.safe_load(path.read_text()), "experiment") == [], path


def test_the_example_is_valid() -> None:
    data = yaml.safe_load(EXPERIMENT)
    assert errors(data, "experiment") == []
    assert errors(data) == []
    shorthand = [{"compute": "5 us"}, {"set": {"a": "1 + 2"}}, {"touch": 5}, {"munlockall": None}, {"exit": {}}]
    assert errors({**data, "tasks": [{"name": "x", "program": shorthand}]}, "experiment") == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("titel", "x"), ("seeds", {}), ("plots", ["barz"]), ("kernel", {"sysctl": {"vm.swapiness": 3}}), ("machine", 3),
        ("files", {"a": {"size": "5 us"}}), ("files", {"a": {"size": "5 GiB", "cached": "most"}}),
        ("tasks", [{"name": "x"}]), ("tasks", [{"name": "x", "program": [{"mmapp": {}}]}]),
        ("tasks", [{"name": "x", "program": [{"mmap": {"length": 1}, "exit": {}}]}]),
        ("tasks", [{"name": "x", "program": [{"mmap": {"lenght": 1}}]}]),
        ("tasks", [{"name": "x", "rlimits": {"RLIMIT_FOO": 1}, "program": []}]),
    ],
)  # fmt: skip
def test_finds_mistakes_of_form(key: str, value: object) -> None:
    assert errors({**yaml.safe_load(EXPERIMENT), key: value}, "experiment")


def test_defaults_in_the_schema_are_valid_values() -> None:
    schema = json_schema()
    for name, definition in schema["$defs"].items():
        for key, part in definition.get("properties", {}).items():
            if "default" in part:
                whole = {**part, "$defs": schema["$defs"]}
                assert not list(jsonschema.Draft202012Validator(whole).iter_errors(part["default"])), (name, key)


def test_every_key_is_described() -> None:
    for model in (*models_in(ExperimentFile), *models_in(MachineSpec)):
        assert model.__doc__
        for key in keys_of(model):
            assert key.meaning or key.name == "type", (model.__name__, key.name)
            assert key.takes != "text" or key.name in ("title", "description", "source", "file", "format", "type", "counters"), (
                key
            )


def test_the_reference_has_every_key_step_cost_and_setting() -> None:
    text = reference()
    for model in (*models_in(ExperimentFile), *models_in(MachineSpec)):
        for key in keys_of(model):
            assert f"`{key.name}`" in text or key.name == "type"
    for name in (*STEPS, *COSTS, *SYSCTLS):
        assert f"`{name}`" in text
    assert "keys of " not in text.replace("The keys of", "")
    assert all(len(row.split(" | ")) >= 3 for row in text.splitlines() if row.startswith("| "))
