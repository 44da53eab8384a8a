"""Changing a tree before it is checked: dotted keys with new values, and `${name}` constants."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from vmsim.errors import Problem, SpecError, unknown_name
from vmsim.spec.nodes import Node, Scalar, compose, scalar

Expand = Callable[[Node], Node]
_STEP: Final = re.compile(r"([^.\[\]]+)|\[(\d{1,6})\]")
_CONSTANT: Final = re.compile(r"\$\{([^{}]{0,80})\}")
MANY: Final = 200  # problems of one kind, after which no more are looked for
_LONGEST: Final = 10_000
_OPAQUE: Final = frozenset({"sysctl"})  # mappings whose keys contain dots


def parse_option(option: str) -> tuple[str, Node]:
    """The dotted key and the value of `a.b=c`, the value read as YAML. Raises SpecError that names the option."""
    file = f"--set {option}" if len(option) <= 200 else f"--set {option[:200]}..."
    path, equals, text = option.partition("=")
    if not equals or not path.strip():
        raise SpecError([Problem(file, 0, "", "expected key=value, such as kernel.sysctl.vm.swappiness=10")])
    path = path.strip()
    if scalar(text.strip()) is None:
        return path, Node(None, file, 0, path)
    try:
        value = compose(text, file)
    except SpecError as error:
        raise SpecError([Problem(file, 0, path, problem.message) for problem in error.problems]) from None
    return path, _placed(value, file, path)


def _placed(node: Node, file: str, key: str) -> Node:
    """A tree, all of which stands in one place."""
    if isinstance(node.value, dict):
        value: dict[str, Node] = {name: _placed(child, file, f"{key}.{name}") for name, child in node.value.items()}
        return Node(None, file, 0, key).holding(value)
    if isinstance(node.value, tuple):
        return Node(None, file, 0, key).holding(
            tuple(_placed(child, file, f"{key}[{i}]") for i, child in enumerate(node.value))
        )
    return replace(node, file=file, line=0, key=key)


def set_path(tree: Node, path: str, value: Node, expand_machine: Expand) -> Node:
    """The tree with the value at a dotted key. Elements of `tasks` and `rows` go by their name, id or index.

    `expand_machine` turns the name of a machine into its mapping when the key lies inside it. Raises SpecError.
    """
    steps = [name or int(index) for name, index in _STEP.findall(path)]
    if not 0 < len(steps) <= 30 or _STEP.sub("", path).strip("."):
        raise SpecError([value.problem(f"expected a dotted key such as tasks.reader.vars.batch, got {path[:100]!r}")])
    if steps[0] == "machine" and len(steps) > 1:
        machine = tree.get("machine")
        if machine is not None and isinstance(machine.value, str):
            tree = tree.with_entry("machine", expand_machine(machine))
    if len(steps) > 1:
        _refuse_unread(tree, steps, value)
    return _set(tree, steps, value, "")


def _refuse_unread(tree: Node, steps: list[str | int], value: Node) -> None:
    """Raises SpecError for a new constant or register that nothing in the tree reads: with a slip of the pen all would go on as before."""
    name, kind = str(steps[-1]), "constant" if steps[:-1] == ["constants"] else "register"
    if kind == "register" and steps[-2] != "vars":
        return
    holder: Node | None = tree
    for step in steps[:-1]:
        if holder is not None and isinstance(holder.value, tuple):
            holder = holder.elements()[_index(holder, step, value)]
        elif holder is not None:
            holder = holder.get(str(step))
    known = [key for key, _ in holder.items()] if holder is not None else []
    read = re.compile(re.escape(f"${{{name}}}") if kind == "constant" else rf"\b{re.escape(name)}\b")
    if name not in known and not any(read.search(text) for text in _texts(tree)):
        raise SpecError([value.problem(unknown_name(kind, name[:80], known))])


def _texts(node: Node) -> Iterator[str]:
    if isinstance(node.value, (dict, tuple)):
        for child in [child for _, child in node.items()] if isinstance(node.value, dict) else node.elements():
            yield from _texts(child)
    elif isinstance(node.value, str):
        yield node.value


def _set(node: Node, steps: list[str | int], value: Node, inside: str) -> Node:
    if not steps:
        return value
    if isinstance(node.value, tuple):
        index = _index(node, steps[0], value)
        return node.with_element(index, _set(node.elements()[index], steps[1:], value, ""))
    if not isinstance(node.value, dict) and node.value is not None:
        raise SpecError([value.problem(f"{node.key or 'the file'} is a single value and has no {steps[0]!r}")])
    taken = _taken(node, steps, inside)
    name = ".".join(str(step) for step in steps[:taken])
    child = node.get(name)
    if child is None:
        child = Node(None, value.file, value.line, value.key)
        if taken < len(steps) and name in ("tasks", "rows", "program"):
            raise SpecError([value.problem(f"there are no {name} to change")])
    return node.with_entry(name, _set(child, steps[taken:], value, name))


def _taken(node: Node, steps: list[str | int], inside: str) -> int:
    """How many steps make up an entry's key: as many as match one that exists, all of them where keys contain dots."""
    if inside in _OPAQUE:
        return len(steps)
    for taken in range(len(steps), 0, -1):
        if node.get(".".join(str(step) for step in steps[:taken])) is not None:
            return taken
    return 1


def _index(node: Node, step: str | int, value: Node) -> int:
    elements = node.elements()
    if isinstance(step, int) or step.isdecimal():
        if int(step) < len(elements):
            return int(step)
        raise SpecError(
            [value.problem(f"{node.key} has {len(elements)} elements, counted from 0; there is no [{step}]")]
        )
    names: dict[str, int] = {}
    for i, element in enumerate(elements):
        for key in ("name", "id"):
            name = element.get(key)
            if name is not None and isinstance(name.value, (str, int)):
                names.setdefault(str(name.value), i)
    if step not in names:
        raise SpecError([value.problem(unknown_name(f"element of {node.key}", step[:80], names))])
    return names[step]


def substitute(tree: Node) -> tuple[Node, list[Problem]]:
    """The tree with `${name}` replaced by the constants that it holds under `constants`, and the problems of doing so.

    A scalar that is nothing but `${name}` becomes the constant, of whatever kind; within a text its text is put in.
    Constants may use those above them.
    """
    problems: list[Problem] = []
    known: dict[str, Node] = {}
    constants = tree.get("constants")
    for name, node in constants.items() if constants else ():
        known[name] = _substituted(node, known, problems)
    entries = {key: node if key == "constants" else _substituted(node, known, problems) for key, node in tree.items()}
    return tree.holding(entries) if isinstance(tree.value, dict) else tree, problems


def _substituted(node: Node, known: Mapping[str, Node], problems: list[Problem]) -> Node:
    if isinstance(node.value, dict):
        return node.holding({key: _substituted(child, known, problems) for key, child in node.value.items()})
    if isinstance(node.value, tuple):
        return node.holding(tuple(_substituted(child, known, problems) for child in node.value))
    if not isinstance(node.value, str) or "${" not in node.value:
        return node
    whole = _CONSTANT.fullmatch(node.value.strip())
    if whole and whole.group(1) in known:
        return replace(known[whole.group(1)], file=node.file, line=node.line, key=node.key)
    return replace(node, value=_filled(node, node.value, known, problems))


def _filled(node: Node, text: str, known: Mapping[str, Node], problems: list[Problem]) -> Scalar:
    def constant(match: re.Match[str]) -> str:
        found = known.get(match.group(1))
        if found is None and len(problems) >= MANY:
            return match.group(0)
        if found is None:
            problems.append(node.problem(unknown_name("constant", match.group(1), list(known)[:MANY])))
            return match.group(0)
        if isinstance(found.value, (dict, tuple)):
            problems.append(
                node.problem(f"the constant {match.group(1)} is no single value and can't stand within text")
            )
            return match.group(0)
        return "" if found.value is None else str(found.value)

    filled = _CONSTANT.sub(constant, text) if len(text) <= _LONGEST else ""
    if len(filled) > _LONGEST or len(text) > _LONGEST:
        problems.append(node.problem(f"a text with constants has at most {_LONGEST} characters"))
        return None
    return scalar(filled)
