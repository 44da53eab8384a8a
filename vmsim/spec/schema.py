"""JSON Schema (draft 2020-12) of experiment and machine files, so that editors complete and check them while typing."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic.json_schema import models_json_schema

from vmsim.spec.experiment import ExperimentFile
from vmsim.spec.fields import keys_of, models_in
from vmsim.spec.machine import MachineSpec
from vmsim.spec.model import SpecModel
from vmsim.spec.steps import STEPS

Which = Literal["any", "experiment", "machine"]
DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_REF: Final = "#/$defs/"
_SCALAR: Final = {"type": ["string", "integer"]}


def json_schema(which: Which = "any") -> dict[str, Any]:
    """The schema of an experiment file, of a machine file, or of either.

    It describes the shape: what only a check of the whole can see (registers, names of files, devices) is not in it.
    """
    _, schema = models_json_schema(
        [(ExperimentFile, "validation"), (MachineSpec, "validation")], ref_template=_REF + "{model}"
    )
    definitions = {name: _with_steps(definition) for name, definition in schema["$defs"].items()}
    for model in (*models_in(ExperimentFile), *models_in(MachineSpec)):
        _write_defaults(definitions.get(model.__name__, {}), model)
    definitions["Step"] = _step_schema(definitions)
    experiment = definitions["ExperimentFile"]
    machine_text = "name of a file in configs/ or beside this one, or a path"
    experiment["properties"]["machine"] = {
        "description": experiment["properties"]["machine"].get("description", ""),
        "anyOf": [{"type": "string", "description": machine_text}, {"$ref": _REF + "MachineSpec"}],
    }
    roots = {"experiment": [_REF + "ExperimentFile"], "machine": [_REF + "MachineSpec"]}
    refs = roots.get(which, [*roots["experiment"], *roots["machine"]])
    body: dict[str, Any] = {"$ref": refs[0]} if len(refs) == 1 else {"anyOf": [{"$ref": ref} for ref in refs]}
    return {"$schema": DRAFT, "title": f"vmsim {'file' if which == 'any' else which}", **body, "$defs": definitions}


def _write_defaults(definition: dict[str, Any], model: type[SpecModel]) -> None:
    """Defaults as the YAML has them, rather than as the models hold them."""
    for key in keys_of(model):
        if key.name in definition.get("properties", {}):
            definition["properties"][key.name].pop("default", None)
            if key.default is not None:
                definition["properties"][key.name]["default"] = key.default


def _with_steps(schema: Any) -> Any:
    """A part of the schema with every union of steps replaced by a reference to the one definition of a step."""
    if isinstance(schema, list):
        return [_with_steps(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    refs = {part.get("$ref") for part in schema.get("oneOf", ()) if isinstance(part, dict)}
    if _REF + STEPS["mmap"].__name__ in refs:
        return {"$ref": _REF + "Step"}
    return {key: _with_steps(part) for key, part in schema.items()}


def _step_schema(definitions: dict[str, Any]) -> dict[str, Any]:
    """A mapping with exactly one of the steps' names."""
    properties: dict[str, Any] = {}
    for name, model in STEPS.items():
        definition = definitions[model.__name__]
        forms: list[dict[str, Any]] = [{"$ref": _REF + model.__name__}]
        if not definition.get("required"):
            forms.append({"type": "null"})
        if name == "set":
            forms = [definition["properties"]["values"]]
        elif model.shorthand:
            forms.append(_SCALAR)
        text = {"description": definition.get("description", "")}
        properties[name] = {**text, **(forms[0] if len(forms) == 1 else {"anyOf": forms})}
    return {
        "title": "Step",
        "description": "one step of a program: its name and its keys",
        "type": "object",
        "properties": properties,
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": False,
    }
