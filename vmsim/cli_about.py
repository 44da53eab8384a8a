"""The commands about input files and about vmsim itself: `check`, `list`, `schema`, `trace`, `bench`, `version`."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vmsim.errors import VmsimError, unknown_name
from vmsim.units import parse_bytes

if TYPE_CHECKING:
    from vmsim.spec.locate import Kind

_HEADINGS: dict[Kind, str] = {"experiments": "Experiments (vmsim run NAME)", "configs": "Machines (machine: NAME)"}
_KINDS = ("any", "experiment", "machine")


def check(args: argparse.Namespace) -> int:
    """Read each file as `run` would and print what is wrong with it, or what it holds."""
    wrong = 0
    for file in args.files:
        try:
            print(f"{file}: {_checked(file)}")
        except VmsimError as error:
            wrong += 1
            print(error, file=sys.stderr)
    return 2 if wrong else 0


def _checked(file: str) -> str:
    from vmsim.spec.load import load_experiment, load_machine

    if _is_machine(file):
        machine = load_machine(file)
        return f"ok, a machine: {machine.title}"
    experiment = load_experiment(file)
    rows, seeds = len(experiment.runs), len(experiment.seeds)
    return f"ok, an experiment: {experiment.title}, {rows} row{'s' * (rows != 1)} of {seeds} run{'s' * (seeds != 1)}"


def _is_machine(file: str) -> bool:
    """Whether a file has the keys of a machine and none of an experiment; a bare name is looked up among both."""
    from vmsim.spec.locate import available, read_tree

    if not Path(file).is_file():
        return file in available("configs") and file not in available("experiments")
    keys = read_tree(Path(file)).value
    return isinstance(keys, dict) and "arch" in keys and not {"machine", "tasks", "program", "rows"} & keys.keys()


def list_known(args: argparse.Namespace) -> int:
    """Print the names that `run` and `machine:` understand, with their titles."""
    del args
    from vmsim.spec.locate import available

    for kind, heading in _HEADINGS.items():
        print(heading)
        known = {name: _title(path) for name, path in available(kind).items()}
        width = max((len(name) for name in known), default=0)
        for name, title in known.items():
            print(f"  {name:{width}}  {title}".rstrip())
    return 0


def _title(path: Path) -> str:
    from vmsim.spec.locate import read_tree

    try:
        keys = read_tree(path).value
    except VmsimError:
        return "(can't be read; see vmsim check)"
    title = keys.get("title") if isinstance(keys, dict) else None
    return str(title.value) if title is not None else ""


def schema(args: argparse.Namespace) -> int:
    """Print the JSON Schema of a kind of file."""
    from vmsim.spec.schema import json_schema

    if args.kind not in _KINDS:
        raise VmsimError(unknown_name("kind of file", args.kind, _KINDS))
    print(json.dumps(json_schema(args.kind), indent=2))
    return 0


def trace(args: argparse.Namespace) -> int:
    """Inspect trace files."""
    from vmsim.report.trace_inspect import trace_inspect_command

    try:
        page_size = parse_bytes(args.page_size)
    except ValueError as error:
        raise VmsimError(f"--page-size: {error}") from None
    return trace_inspect_command(args.files, args.format, args.json, args.plot, page_size, args.window)


def bench(args: argparse.Namespace) -> int:
    """Measure vmsim's own speed."""
    from vmsim.experiment.bench import main

    return int(main(args.rest) or 0)


def show_version(args: argparse.Namespace) -> int:
    """Print vmsim's version and the interpreter's."""
    del args
    import vmsim

    print(f"vmsim {vmsim.__version__} (Python {platform.python_version()})")
    return 0
