"""From an experiment's tree to its rows: each row's variant of the tree, checked as a whole and resolved."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from vmsim.errors import Problem, SpecError, unknown_name
from vmsim.spec.complete import completed
from vmsim.spec.experiment import ExperimentFile, ResolvedRun, RowSpec, Scenario
from vmsim.spec.locate import locate, read_tree
from vmsim.spec.model import Reading, SpecModel
from vmsim.spec.nodes import Node, to_data
from vmsim.spec.overrides import set_path, substitute
from vmsim.spec.problems import problems_of
from vmsim.spec.references import check_devices, check_huge_pages, check_names, check_phases, check_program, swap_area_names
from vmsim.units import format_bytes

SCENARIO_KEYS = ("machine", "kernel", "files", "tasks")
ROW_KEYS = (*SCENARIO_KEYS, "program", "constants")
MAIN_TASK = "main"
_HEAD = re.compile(r"[.\[].*", re.DOTALL)
Model = TypeVar("Model", bound=SpecModel)


@dataclass
class Source:
    """Where an experiment comes from, and what was found wrong with it so far."""

    folder: Path
    problems: list[Problem] = field(default_factory=list)
    machines: dict[str, Node] = field(default_factory=dict)

    def read(self, model: type[Model], tree: Node) -> Model | None:
        """The model of a tree; None, with its problems noted, if it is not valid."""
        data = to_data(tree)
        reading = Reading(self.folder)
        try:
            return model.model_validate(data, context=reading, by_alias=True, by_name=False)
        except ValidationError as error:
            self.problems.extend(problems_of(error, tree, data, reading))
            return None

    def machine(self, node: Node) -> Node:
        """The mapping of a machine that is given by name or path. Raises SpecError."""
        name = str(node.value)
        if name not in self.machines:
            try:
                path = locate(name, "configs", self.folder)
            except ValueError as error:
                raise SpecError([node.problem(str(error))]) from None
            tree = read_tree(path)
            if not isinstance(tree.value, dict):
                raise SpecError([tree.problem("expected the keys of a machine")])
            self.machines[name] = tree
        return self.machines[name]

    def change(self, tree: Node, path: str, value: Node) -> Node:
        """The tree with the value at a dotted key; unchanged, with the problem noted, if there is no such place."""
        try:
            return set_path(tree, path, value, lambda node: self.machine(self.filled_with(tree, node)))
        except SpecError as error:
            self.problems.extend(error.problems)
            return tree

    def filled_with(self, tree: Node, node: Node) -> Node:
        """A single value with the tree's constants put in."""
        constants = tree.get("constants")
        alone = Node(None, tree.file, tree.line, "").holding({"value": node})
        filled, problems = substitute(alone.with_entry("constants", constants) if constants else alone)
        if problems:
            raise SpecError(problems)
        return filled.get("value") or node

    def filled(self, tree: Node) -> Node:
        """The tree with constants put in, its machine's file read, and `program` written out as a task."""
        try:
            tree, problems = substitute(tree)
        except SpecError as error:
            self.problems.extend(error.problems)
            return tree
        self.problems.extend(problems)
        machine = tree.get("machine")
        if machine is not None and isinstance(machine.value, (str, int)) and not isinstance(machine.value, bool):
            try:
                tree = tree.with_entry("machine", self.machine(machine))
            except SpecError as error:
                self.problems.extend(error.problems)
                tree = without(tree, "machine")
        return tree


def without(tree: Node, *keys: str) -> Node:
    """A mapping without some of its entries."""
    return tree.holding({key: node for key, node in tree.items() if key not in keys})


def variants(tree: Node, source: Source) -> Iterator[tuple[Node | None, Node]]:
    """Each row's node (constants put in) with its variant of the tree; the tree alone where there are no rows."""
    rows = tree.get("rows")
    base = without(tree, "rows")
    if rows is None or not rows.elements():
        yield None, _with_tasks(base, None)
        return
    for row in rows.elements():
        if isinstance(row.value, dict):
            yield row, _variant(base, row, source)


def _variant(base: Node, row: Node, source: Source) -> Node:
    tasks, program = row.get("tasks"), row.get("program")
    if tasks is not None and program is not None:
        source.problems.append(program.problem("give either program or tasks"))
    if tasks is not None:
        base = without(base, "program").with_entry("tasks", tasks)
    elif program is not None:
        base = _with_program(base, program, source)
    changes = row.get("set")
    for path, value in changes.items() if changes else ():
        if (head := _HEAD.sub("", path)) in ROW_KEYS or not head:
            base = source.change(base, path, value)
        elif head in ExperimentFile.model_fields:
            source.problems.append(value.problem(f"{head} belongs to the whole experiment; a row changes {', '.join(ROW_KEYS)}"))
        else:
            source.problems.append(value.problem(unknown_name("key", head[:80], ROW_KEYS)))
    return _with_tasks(base, row)


def _with_program(base: Node, program: Node, source: Source) -> Node:
    """The tree with the program of its only task replaced."""
    tasks = base.get("tasks")
    if tasks is None or not isinstance(tasks.value, tuple):
        return base.with_entry("program", program)
    if len(tasks.value) != 1 or not isinstance(tasks.value[0].value, dict):
        source.problems.append(
            program.problem(f"program replaces that of the only task, and there are {len(tasks.value)}: give tasks")
        )
        return base
    return base.with_entry("tasks", tasks.with_element(0, tasks.value[0].with_entry("program", program)))


def _with_tasks(base: Node, row: Node | None) -> Node:
    """The tree with a bare `program` written out as the task named main."""
    program = base.get("program")
    if program is None or base.get("tasks") is not None:
        return base
    place = Node(None, program.file, program.line, program.key)
    name = Node(MAIN_TASK, program.file, program.line, program.key)
    return without(base, "program").with_entry(
        "tasks", place.holding((place.holding({"name": name, "program": program}),))
    )


def resolve(row: Node | None, tree: Node, source: Source) -> dict[str, Any] | None:
    """The completed parts of a row's scenario by field name; None, with the problems noted, if something is wrong."""
    before = len(source.problems)
    asked = tree.get("machine") is not None
    tree = source.filled(tree)
    scenario_tree = tree.holding({key: node for key, node in tree.items() if key in SCENARIO_KEYS})
    scenario = source.read(Scenario, scenario_tree)
    if asked and tree.get("machine") is None:
        source.problems[:] = [p for p in source.problems if (p.key, p.message) != ("machine", "the key is missing")]
    tasks = tree.get("tasks")
    files = frozenset(name for name, _ in (tree.get("files") or Node(None, "", 0, "")).items())
    for task in tasks.elements() if tasks else ():
        source.problems.extend(check_program(task, files, swap_area_names(tree.get("machine"))))
    source.problems.extend(check_names(tasks, "name"))
    source.problems.extend(check_devices(tree))
    source.problems.extend(check_huge_pages(tree))
    if row is not None:
        source.problems.extend(check_phases(row, tasks))
    if tasks is None or tasks.value in (None, ()):
        source.problems.append((row or tree).problem("there is nothing to run: give tasks, or a program"))
    if scenario is not None:
        source.problems.extend(_impossible(scenario, tree))
    if scenario is None or len(source.problems) > before:
        return None
    return completed(scenario)


def _impossible(scenario: Scenario, tree: Node) -> Iterator[Problem]:
    """Sizes that can't be together."""
    machine = scenario.machine
    files = tree.get("files")
    cached = 0
    for name, file in scenario.files.items():
        node = (files.get(name) if files else None) or tree
        device = machine.devices.get(file.device or next(iter(machine.devices), ""))
        if file.fs != "tmpfs" and device is not None and file.size > device.size:
            yield node.problem(f"{format_bytes(file.size)} do not fit on a device of {format_bytes(device.size)}")
        cached += file.cached_pages(machine.page_size) * machine.page_size
        if cached > machine.ram:
            yield node.problem(
                f"the cached files need {format_bytes(cached)}, the machine has {format_bytes(machine.ram)} of memory"
            )
            return


def row_ids(rows: tuple[RowSpec, ...]) -> list[str]:
    """The rows' ids: the given ones, the others from the names, all different."""
    taken = {row.id for row in rows if row.id}
    ids = []
    for row in rows:
        slug = row.id or slug_of(row.name)
        if not row.id:
            number = 2
            while slug in taken:
                slug, number = f"{slug_of(row.name)}-{number}", number + 1
            taken.add(slug)
        ids.append(slug)
    return ids


def slug_of(name: str) -> str:
    """A short id from a name: lower case, everything else as single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].rstrip("-") or "row"


def resolved_run(row: RowSpec | None, row_id: str, name: str, parts: dict[str, Any]) -> ResolvedRun:
    """One row, from its checked parts."""
    said = {key: getattr(row, key) if row else {} for key in ("published", "kind", "tolerance", "facts", "at")}
    return ResolvedRun.model_construct(None, row_id=row_id, row_name=name, line=row.line if row else None, **parts, **said)
