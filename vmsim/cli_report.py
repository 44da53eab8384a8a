"""The commands that read a result directory: `table`, `plot`, `show`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vmsim.errors import VmsimError
from vmsim.experiment.store import Results, load_results


def table(args: argparse.Namespace) -> int:
    """Print the table, or its numbers as JSON."""
    from vmsim.report.table import facts_json, phases_json, table_text

    if args.facts and not args.json:
        raise VmsimError("--facts goes with --json; without it the table shows the facts anyway")
    results = load_results(args.dir)
    if args.json:
        print(json.dumps(facts_json(results) if args.facts else phases_json(results), indent=1, ensure_ascii=False))
    else:
        print(table_text(results), end="")
    return 0


def plot(args: argparse.Namespace) -> int:
    """Draw the plots and print where they are."""
    from vmsim.report.plot import draw_plots

    out = Path(args.out) if args.out else None
    for path in draw_plots(load_results(args.dir), out, args.format, args.plots):
        print(path)
    return 0


def show(args: argparse.Namespace) -> int:
    """Print one run in full, or an overview of the directory."""
    from vmsim.report.show import overview_text, proc_text, run_text

    results = load_results(args.dir)
    if args.row is None and (args.seed is not None or args.proc is not None):
        raise VmsimError(f"--seed and --proc go with --row; rows: {', '.join(row.row_id for row in results.sweep.rows)}")
    if args.row is None:
        print(overview_text(results), end="")
        return 0
    runs = results.of_row(args.row)
    chosen = [run for run in runs if args.seed in (None, run.seed_index)]
    if not chosen:
        raise VmsimError(f"row {args.row!r} has no run of seed {args.seed}; it has {_listed(results, args.row)}")
    print(proc_text(chosen[0], args.proc) if args.proc else run_text(chosen[0]), end="")
    return 0


def _listed(results: Results, row_id: str) -> str:
    return ", ".join(str(run.seed_index) for run in results.of_row(row_id))
