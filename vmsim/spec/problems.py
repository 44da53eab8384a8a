"""From what validation finds to problems that a person can act on: file, line, key, what was expected."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from vmsim.errors import Problem, unknown_name
from vmsim.spec.flags import shown
from vmsim.spec.model import Reading, SpecModel
from vmsim.spec.nodes import Node, find
from vmsim.spec.steps import STEPS
from vmsim.spec.values import SPEC_ERROR

MOST = 1000  # problems of one validation that are spelt out
Path = tuple[str | int, ...]

_MAPPING_TYPES = frozenset({"model_type", "dict_type", "mapping_type", "model_attributes_type"})
_LIST_TYPES = frozenset({"tuple_type", "list_type", "iterable_type"})
_TAG_TYPES = frozenset({"union_tag_invalid", "union_tag_not_found"})


def problems_of(error: ValidationError, root: Node, data: Any, reading: Reading) -> list[Problem]:
    """The problems of one validation of `data`, made from the tree `root`; without those that follow from others."""
    errors = [details for details in error.errors(include_url=False) if details["type"] != "default_factory_not_called"]
    unknown: dict[Path, list[str]] = {}
    for details in errors:
        if details["type"] == "extra_forbidden":
            unknown.setdefault(details["loc"][:-1], []).append(str(details["loc"][-1])[:80])
    kept = [details for details in errors if not _is_misspelt(details, unknown, data, reading)]
    problems = list(dict.fromkeys(_problem(details, root, data, reading) for details in kept[:MOST]))
    if len(kept) > MOST:
        problems.append(root.problem(f"and {len(kept) - MOST} more problems", ""))
    return problems


def _is_misspelt(missing: ErrorDetails, unknown: dict[Path, list[str]], data: Any, reading: Reading) -> bool:
    """Whether a missing key is there under a name that is so near that the unknown key's message names it."""
    parent = missing["loc"][:-1]
    if missing["type"] != "missing" or parent not in unknown:
        return False
    known = _keys(parent, data, reading)
    near = (get_close_matches(name, known, n=1, cutoff=0.5) for name in unknown[parent][:100])
    return any(found == [missing["loc"][-1]] for found in near)


def _problem(details: ErrorDetails, root: Node, data: Any, reading: Reading) -> Problem:
    path = details["loc"]
    if details["type"] == "missing":
        parent = find(root, path[:-1])
        return parent.problem("the key is missing", f"{parent.key}.{path[-1]}" if parent.key else str(path[-1]))
    node = find(root, path)
    return node.problem(_message(details, node, data, reading))


def _message(details: ErrorDetails, node: Node, data: Any, reading: Reading) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "extra_forbidden":
        name = str(details["loc"][-1])[:80]
        return unknown_name("key", name, _keys(details["loc"][:-1], data, reading))
    if kind == SPEC_ERROR:
        return details["msg"]
    if kind == "value_error":
        return str(context["error"])
    if kind in _MAPPING_TYPES:
        return f"expected a mapping, got {shown(_plain(node))}"
    if kind in _LIST_TYPES:
        return f"expected a list, got {shown(_plain(node))}"
    if kind in _TAG_TYPES:
        return _tag_message(context, node)
    if kind == "too_short":
        return "expected at least one entry, got none"
    if kind in ("bool_type", "bool_parsing"):
        return f"expected true or false, got {shown(_plain(node))}"
    return f"{details['msg'][:300]}, got {shown(_plain(node))}"


def _plain(node: Node) -> object:
    if isinstance(node.value, dict):
        return {}
    return [] if isinstance(node.value, tuple) else node.value


def _tag_message(context: dict[str, Any], node: Node) -> str:
    """A step, pattern, device or latency whose name is missing or unknown."""
    if "discriminator" in context and context["discriminator"] != "'type'":
        return _step_message(node)
    if not isinstance(node.value, dict):
        return f"expected a mapping with a type, got {shown(_plain(node))}"
    given = node.get("type")
    known = [name.strip("'\" ") for name in str(context.get("expected_tags", "")).split(",") if name.strip()]
    if given is None:
        return "the key type is missing" + (f" ({', '.join(known)})" if known else "")
    if not isinstance(given.value, str):
        return f"expected the name of a type, got {shown(_plain(given))}"
    return unknown_name("type", given.value[:80], known)


def _step_message(node: Node) -> str:
    if not isinstance(node.value, dict):
        word = node.value if isinstance(node.value, str) else ""
        if word in STEPS:
            return f"a step is a mapping: {{{word}: {{...}}}}"
        return f"expected a step such as {{compute: 5 us}}, got {shown(_plain(node))}"
    if len(node.value) != 1:
        names = [name for name in node.value if name in STEPS]
        hint = f" (indent its keys below {names[0]}:)" if len(names) == 1 else ""
        given = ", ".join(list(node.value)[:6])[:100]
        return f"a step is a mapping with one key, its name; got {len(node.value)}: {given}{hint}"
    return unknown_name("step", next(iter(node.value))[:80], STEPS)


def _keys(path: Path, data: Any, reading: Reading) -> list[str]:
    """The keys that the model read from the mapping at a path may have."""
    model: type[SpecModel] | None = None
    for mapping in _on_path(path, data):
        model = reading.models.get(id(mapping), model)
    return sorted(model.keys()) if model else []


def _on_path(path: Path, data: Any) -> Iterator[Any]:
    yield data
    for step in path:
        if isinstance(data, dict) and step in data:
            data = data[step]
            yield data
        if isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
            yield data
