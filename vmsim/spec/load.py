"""Reading experiments and machines: from a file to a checked, resolved spec, or to the list of all its mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vmsim.errors import Problem, SpecError, unknown_name
from vmsim.spec.experiment import ExperimentFile, ExperimentSpec, ResolvedRun, RowSpec
from vmsim.spec.locate import Kind, locate, read_tree
from vmsim.spec.machine import MachineSpec
from vmsim.spec.model import SpecModel
from vmsim.spec.nodes import Node, from_data
from vmsim.spec.overrides import parse_option
from vmsim.spec.references import check_curves, check_devices, check_names, phases_of_tasks
from vmsim.spec.rows import Source, resolve, resolved_run, row_ids, slug_of, variants
from vmsim.spec.sweep import with_sweep
from vmsim.spec.syscalls import StepParent


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> ExperimentSpec:
    """The experiment of a file, or of a bare name that comes with vmsim, changed by options (`kernel.version=4.3`).

    Raises SpecError with every problem that was found.
    """
    file = _located(path, "experiments")
    return _experiment(read_tree(file), file.parent, overrides, str(file))


def make_experiment(data: Mapping[str, Any], overrides: Sequence[str] = (), folder: str | Path = ".") -> ExperimentSpec:
    """The experiment of a mapping with the keys of the YAML file; values may be specs. Paths start from `folder`.

    Raises SpecError with every problem that was found.
    """
    return _experiment(from_data(_plain(data), "experiment", 0, ""), Path(folder), overrides, "")


def load_machine(name: str | Path) -> MachineSpec:
    """The machine of a file, or of a bare name (./configs, then those that come with vmsim). Raises SpecError."""
    file = _located(name, "configs")
    source = Source(file.parent)
    tree = read_tree(file)
    machine = source.read(MachineSpec, tree)
    source.problems.extend(check_devices(Node(None, tree.file, 0, "").holding({"machine": tree})))
    if machine is None or source.problems:
        raise _error(source, str(file))
    return machine


def resolve_rows(spec: ExperimentSpec) -> list[ResolvedRun]:
    """What each row of a checked experiment runs, in order."""
    return list(spec.runs)


def _located(name: str | Path, kind: Kind) -> Path:
    try:
        return locate(str(name), kind)
    except ValueError as error:
        raise SpecError([Problem(str(name)[:200], 0, "", str(error))]) from None


def _plain(data: Any) -> Any:
    """Data with every spec in it as its YAML has it."""
    if isinstance(data, StepParent):
        return {data.step: data.model_dump(mode="json", exclude_none=True)}
    if isinstance(data, SpecModel):
        return data.model_dump(mode="json", exclude_none=True)
    if isinstance(data, Mapping):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_plain(value) for value in data]
    return data


def _error(source: Source, file: str) -> SpecError:
    """All problems, each once: those of the options, of the file, of other files, by line."""

    def place(problem: Problem) -> tuple[int, str, int]:
        if problem.file.startswith("--set "):
            return 0, "", 0
        return (1, "", problem.line) if problem.file == file else (2, problem.file, problem.line)

    return SpecError(sorted(dict.fromkeys(source.problems), key=place))


def _experiment(tree: Node, folder: Path, overrides: Sequence[str], file: str) -> ExperimentSpec:
    source = Source(folder)
    if not isinstance(tree.value, dict):
        raise SpecError([tree.problem("expected the keys of an experiment, such as title: and machine:")])
    for option in overrides:
        try:
            path, value = parse_option(option)
        except SpecError as error:
            source.problems.extend(error.problems)
            continue
        tree = source.change(tree, path, value)
    tree = with_sweep(tree, source)
    head = _head(tree, source)
    parted = list(variants(tree, source))
    parts = [(row, resolve(row, variant, source)) for row, variant in parted]
    if head is not None:
        _check_curves(tree, head, [variant for _, variant in parted], source)
    if head is None or source.problems:
        raise _error(source, file)
    ids = row_ids(head.rows) if head.rows else [slug_of(head.title)]
    rows: Sequence[RowSpec | None] = head.rows or (None,)
    runs = tuple(
        resolved_run(row, row_id, row.name if row else head.title, part)
        for row, row_id, (_, part) in zip(rows, ids, parts, strict=True)
        if part is not None
    )
    kept = {key: getattr(head, key) for key in ("title", "description", "seeds", "seed", "outputs", "plots", "curves")}
    return ExperimentSpec.model_construct(path=file, overrides=tuple(overrides), runs=runs, **kept)


def _check_curves(tree: Node, head: ExperimentFile, parts: Sequence[Node], source: Source) -> None:
    axes = {axis for row in head.rows for axis in row.at}
    curves = tree.get("curves")
    if curves is not None:
        source.problems.extend(check_curves(curves, {name: None for part in parts for name in phases_of_tasks(part.get("tasks"))}))
    if curves is not None and head.curves.x is not None and head.curves.x not in axes:
        source.problems.append((curves.get("x") or curves).problem(unknown_name("axis of the sweep", head.curves.x, axes)))


def _head(tree: Node, source: Source) -> ExperimentFile | None:
    """The file as a whole: all keys, the texts, the rows by themselves."""
    if tree.get("tasks") is not None and (program := tree.get("program")) is not None:
        source.problems.append(program.problem("give either program or tasks"))
    asked = tree.get("machine") is not None
    filled = source.filled(tree)
    rows = filled.get("rows")
    source.problems.extend(check_names(rows, "id"))
    source.problems.extend(check_names(rows, "name"))
    head = source.read(ExperimentFile, filled)
    if asked and filled.get("machine") is None:
        source.problems[:] = [p for p in source.problems if (p.key, p.message) != ("machine", "the key is missing")]
    return head
