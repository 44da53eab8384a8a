"""Names that one part of an experiment uses and another gives: registers, regions, files, devices, phases, patterns.

The checks walk the tree rather than the models, so that they find their mistakes beside those that validation finds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, get_args

from vmsim.errors import Problem, unknown_name
from vmsim.spec.arches import ARCHES
from vmsim.spec.counters import FACTS, TASK_STATE
from vmsim.spec.expr import Reg, check_register, parse_expr, registers
from vmsim.spec.nodes import Node, to_data
from vmsim.spec.overrides import MANY
from vmsim.spec.rlimits import UNLIMITED
from vmsim.spec.steps import STEPS
from vmsim.spec.syscalls import StepParent
from vmsim.spec.values import Expression

CHILDREN = ("steps", "then", "else")
OWN_REGISTERS = ("fork", "clone")  # what their steps set, the steps after them do not see
SETS_REGION = ("mmap", "mremap", "trace")
TOTAL = "total"


@dataclass
class _Program:
    """One task's program while it is walked, in the order in which it runs.

    A handler runs at any time after its installation, so it may read what is set anywhere.
    """

    constant: frozenset[str]  # registers that `vars` sets and nothing else
    everywhere: frozenset[str]  # registers that are set anywhere
    every_region: frozenset[str]
    defined: set[str]  # so far
    regions: set[str]  # so far
    problems: list[Problem] = field(default_factory=list)


@cache
def _expressions(model: type[StepParent]) -> tuple[str, ...]:
    """The keys of a step whose values are expressions."""
    return tuple(
        info.alias or name
        for name, info in model.model_fields.items()
        if _holds_expression(info.annotation, info.metadata)
    )


def _holds_expression(annotation: Any, metadata: Any) -> bool:
    if any(isinstance(item, Expression) for item in metadata):
        return True
    return any(_holds_expression(argument, getattr(argument, "__metadata__", ())) for argument in get_args(annotation))


def _steps(node: Node) -> Iterator[tuple[str, Node]]:
    """The steps in an element of a program, each with the mapping of its keys, shorthand written out.

    There is one where the program is well-formed; elsewhere what is likely meant, so that one mistake is reported once.
    """
    entries = dict(node.items())
    known = [name for name in entries if name in STEPS]
    if len(known) == 1 and len(entries) > 1 and entries[known[0]].value is None:
        yield known[0], node
    else:
        yield from ((name, _body(name, body)) for name, body in entries.items())


def _body(name: str, body: Node) -> Node:
    shorthand = STEPS[name].shorthand if name in STEPS else None
    if shorthand and not STEPS[name].is_full({key: to_data(child) for key, child in body.items()} or body.value):
        return Node({shorthand: body}, body.file, body.line, body.key)
    return body


def _all_steps(program: Node | None) -> Iterator[tuple[str, Node]]:
    for node in program.elements() if program else ():
        for name, body in _steps(node):
            yield name, body
            for key in CHILDREN:
                yield from _all_steps(body.get(key))


def _entries(node: Node | None) -> Iterator[tuple[str, Node]]:
    if node is not None:
        yield from node.items()


def _text(node: Node | None) -> str | None:
    return node.value if node is not None and isinstance(node.value, str) else None


def _sets(name: str, body: Node) -> set[str]:
    """The registers that a step sets."""
    found = {_text(body.get("as"))}
    if name == "set":
        found |= {key for key, _ in _entries(body.get("values"))}
    return {register for register in found if register and _is_register(register)}


def _is_register(name: str) -> bool:
    try:
        check_register(name)
    except ValueError:
        return False
    return True


def phases(program: Node | None) -> list[str]:
    """The phases of a program, in order."""
    names = (_text(body.get("name")) for step, body in _all_steps(program) if step == "phase")
    return [name for name in names if name]


def check_program(task: Node, files: frozenset[str], areas: frozenset[str]) -> list[Problem]:
    """Registers, regions, files and swap areas that a task's program uses and that don't exist."""
    program = task.get("program")
    every = list(_all_steps(program))
    variables = {name for name, _ in _entries(task.get("vars")) if _is_register(name)}
    changing = set[str]().union(*(_sets(name, body) for name, body in every))
    state = _Program(
        constant=frozenset(variables - changing),
        everywhere=frozenset(variables | changing),
        defined=set(variables),
        regions=set(),
        every_region=frozenset(_text(body.get("as")) or "" for name, body in every if _may_set_region(name)),
    )
    _walk(program, state)
    for name, body in every:
        file, area = body.get("file"), body.get("area")
        if len(state.problems) >= MANY:
            break
        if name in ("swapon", "swapoff") and area is not None and isinstance(area.value, (str, int)) and str(area.value) not in areas:
            state.problems.append(area.problem(unknown_name("swap area", str(area.value)[:80], areas)))
        if name in STEPS and name != "trace" and file is not None and isinstance(file.value, (str, int)) and str(file.value) not in files:
            state.problems.append(file.problem(unknown_name("file", str(file.value)[:80], files)))
    return [*state.problems, *_shared_patterns(every)]


def _walk(program: Node | None, state: _Program) -> None:
    for node in program.elements() if program else ():
        for name, body in _steps(node):
            if len(state.problems) < MANY:
                _walk_step(name, body, state)


def _walk_step(name: str, body: Node, state: _Program) -> None:
    if name in STEPS:
        _check_expressions(name, body, state)
    if name == "set":
        _walk_set(body, state)
    elif name == "on_signal":
        _walk_handler(body, state)
    elif name in OWN_REGISTERS:
        _walk(body.get("steps"), replace(state, defined=set(state.defined), regions=set(state.regions)))
    else:
        if name == "loop":
            state.defined |= _sets(name, body)
        for key in CHILDREN:
            _walk(body.get(key), state)
    state.defined |= _sets(name, body)
    if _may_set_region(name):
        state.regions |= _sets(name, body)


def _may_set_region(name: str) -> bool:
    return name in SETS_REGION or name not in STEPS


def _walk_set(body: Node, state: _Program) -> None:
    for register, node in _entries(body.get("values")):
        _check_registers(node, state)
        state.defined.add(register)
        state.regions.discard(register)


def _walk_handler(body: Node, state: _Program) -> None:
    _walk(body.get("steps"), replace(state, defined=set(state.everywhere), regions=set(state.every_region)))


def _check_expressions(name: str, body: Node, state: _Program) -> None:
    for key in _expressions(STEPS[name]):
        node = body.get(key)
        if node is not None and key != "values" and not (name in ("setrlimit", "prlimit") and node.value in UNLIMITED):
            _check_registers(node, state)
    region = body.get("region")
    if name not in ("access", "draw") or region is None:
        return
    length = body.get("length")
    if length is not None and length.value is not None:
        _check_constant(length, state)
        return
    try:
        expr = parse_expr(region.value)
    except ValueError:
        return
    if not isinstance(expr, Reg):
        state.problems.append(region.problem("a region that is not an mmap's register needs a length"))
    elif expr.name not in state.regions and expr.name in state.defined:
        state.problems.append(
            region.problem(f"no mmap sets {expr.name!r} before this step, so the access needs a length")
        )


def _check_constant(length: Node, state: _Program) -> None:
    """The length of a pattern's region is known before the program runs."""
    try:
        expr = parse_expr(length.value)
    except ValueError:
        return
    changing = [name for name in registers(expr) if name in state.everywhere and name not in state.constant]
    if changing:
        message = f"the length of a region is constant, but the program sets {changing[0]!r} (only vars may stand here)"
        state.problems.append(length.problem(message))


def _check_registers(node: Node, state: _Program) -> None:
    try:
        expr = parse_expr(node.value)
    except ValueError:
        return
    for name in dict.fromkeys(registers(expr)):
        if name in state.defined:
            continue
        if name in state.everywhere:
            state.problems.append(node.problem(f"the register {name!r} is read here, and set only later"))
        elif state.everywhere:
            state.problems.append(node.problem(unknown_name("register", name, sorted(state.everywhere)[:MANY])))
        else:
            state.problems.append(node.problem(f"no register {name!r}: the program sets none"))


def _shared_patterns(steps: list[tuple[str, Node]]) -> Iterator[Problem]:
    """Patterns of one name that differ."""
    first: dict[str, tuple[Node, Any]] = {}
    for _, body in steps:
        pattern = body.get("pattern")
        name = _text(pattern.get("name")) if pattern else None
        if pattern is None or name is None:
            continue
        known, data = first.setdefault(name, (pattern, to_data(pattern)))
        if to_data(pattern) != data:
            yield pattern.problem(
                f"the pattern {name!r} is another than on line {known.line}; patterns of one name are one pattern"
            )


def _swap_areas(machine: Node) -> Iterator[Node]:
    if (swap := machine.get("swap")) is not None:
        yield swap
    if (swaps := machine.get("swaps")) is not None:
        yield from swaps.elements()


def swap_area_names(machine: Node | None) -> frozenset[str]:
    """What the swap areas of a machine are called."""
    areas = _swap_areas(machine) if machine is not None and isinstance(machine.value, dict) else ()
    return frozenset(_text(area.get("name")) or _text(area.get("device")) or "" for area in areas)


def check_devices(tree: Node) -> Iterator[Problem]:
    """Files, swap and series of devices that the machine doesn't have."""
    machine = tree.get("machine")
    if machine is None or not isinstance(machine.value, dict):
        return
    known = frozenset(name for name, _ in _entries(machine.get("devices")))
    for area in _swap_areas(machine):
        named = area.get("device")
        if named is not None and isinstance(named.value, str) and named.value not in known:
            yield named.problem(unknown_name("device", named.value[:80], known))
    series = tree.get("outputs")
    series = series.get("series") if series else None
    counters = series.get("counters") if series else None
    for counter in counters.elements() if counters else ():
        device_name, dot, _ = str(counter.value).rpartition(".")
        if dot and device_name not in known:
            yield counter.problem(unknown_name("device", device_name[:80], known))
    for _, file in _entries(tree.get("files")):
        device = file.get("device")
        if device is not None and isinstance(device.value, (str, int)):
            if str(device.value) not in known:
                yield device.problem(unknown_name("device", str(device.value)[:80], known))
        elif _text(file.get("fs")) != "tmpfs" and isinstance(file.value, dict) and len(known) != 1:
            reason = (
                "the machine has no device"
                if not known
                else f"the machine has {len(known)} devices: {', '.join(sorted(known))}"
            )
            yield file.problem(f"say on which device the file lies ({reason})")


def check_huge_pages(tree: Node) -> Iterator[Problem]:
    """Huge pages on an architecture that has none."""
    machine, kernel = tree.get("machine"), tree.get("kernel")
    mode = kernel.get("transparent_hugepage") if kernel and isinstance(kernel.value, dict) else None
    arch = _text(machine.get("arch")) if machine and isinstance(machine.value, dict) else None
    known = ARCHES.get(arch or "")
    if mode is not None and mode.value != "never" and known is not None and not known.huge_pages:
        yield mode.problem(f"{arch} has no transparent huge pages, expected never")


def check_names(elements: Node | None, key: str) -> Iterator[Problem]:
    """Elements of a list (tasks, rows) that share a name."""
    seen: dict[str, int] = {}
    for element in elements.elements() if elements else ():
        node = element.get(key)
        if node is None or not isinstance(node.value, (str, int)):
            continue
        if str(node.value) in seen:
            yield node.problem(f"{str(node.value)[:80]!r} is used twice (first on line {seen[str(node.value)]})")
        seen.setdefault(str(node.value), node.line)


def phases_of_tasks(tasks: Node | None) -> dict[str, None]:
    """The phases of all programs, in order: by their names, and with that of their task."""
    names: dict[str, None] = {}
    for task in tasks.elements() if tasks else ():
        of_task = phases(task.get("program")) or [TOTAL]
        for phase in of_task:
            names[phase] = None
            names[f"{phase} ({_text(task.get('name'))})"] = None
    return names


def check_curves(curves: Node, names: Collection[str]) -> Iterator[Problem]:
    """What the plot `curves` is to show and no run will have: neither a phase (of `names`) nor a counter of one or of the run."""
    asked = curves.get("y")
    plain = [name for name in names if not name.endswith(")")]
    for node in asked.elements() if asked is not None else ():
        name = _text(node) or ""
        phase, dot, counter = name.rpartition(".")
        if "${" in name or _phase(name) in plain:
            continue
        if dot and _phase(phase) not in plain:
            yield node.problem(unknown_name("phase", phase[:80], plain))
        elif dot and counter in TASK_STATE:
            yield node.problem(f"{counter} is known of whole runs only: give {counter!r} without a phase")
        elif counter not in FACTS:
            message = unknown_name("counter" if dot else "phase or counter", counter[:80], sorted(FACTS | set(plain)))
            yield node.problem(re.split(r"; known:| \(known:", message)[0])  # the counters are too many to be told


def _phase(label: str) -> str:
    """The name of a phase without that of its task."""
    return label.split(" (")[0]


def check_phases(row: Node, tasks: Node | None) -> Iterator[Problem]:
    """Phases that a row says something of and that no program has."""
    names = phases_of_tasks(tasks)
    plain = [name for name in names if not name.endswith(")")]
    for key in ("published", "kind", "tolerance"):
        for name, node in _entries(row.get(key)):
            if name not in names:
                yield node.problem(unknown_name("phase", name[:80], plain))
