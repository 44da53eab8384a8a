"""Draws the plots of a result directory into files; each plot is one module in `plots/`, loaded when it is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from vmsim.errors import VmsimError, unknown_name
from vmsim.experiment.store import PLOTS, Results
from vmsim.report.compare import phases_of

KNOWN = ("bars", "where", "cdf", "series", "memory", "curves", "outcomes", "percentiles", "timeline")
FORMATS = ("png", "svg", "pdf")


def draw_plots(results: Results, out: Path | None = None, suffix: str = "png", names: Sequence[str] = ()) -> list[Path]:
    """Draw plots into `out` (default: `plots` in the result directory) and return their paths.

    Without `names` the experiment's own list is drawn, or all that its results have data for.  The same results give the
    same bytes.  Raises VmsimError for an unknown plot or format, one without data, or where the disk refuses.
    """
    if suffix not in FORMATS:
        raise VmsimError(unknown_name("plot format", suffix, FORMATS))
    chosen = list(names or results.sweep.plots or with_data(results))
    for name in chosen:
        if name not in KNOWN:
            raise VmsimError(unknown_name("plot", name, KNOWN))
    if not any(phases_of(run) for run in results.runs):
        raise VmsimError(f"{results.path} has no finished runs to draw")
    from vmsim.report.plots.style import save, style

    directory = out or results.path / PLOTS
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VmsimError(f"can't create {directory}: {error.strerror or error}") from error
    paths = []
    for name in chosen:
        path = directory / f"{name}.{suffix}"
        with style():
            save(import_module(f"vmsim.report.plots.{name}").draw(results), path)
        paths.append(path)
    return paths


def with_data(results: Results) -> list[str]:
    """The plots that these results have data for; `memory` only where a task held locked memory and nothing is published."""
    compared = any(row.published for row in results.sweep.rows)
    locked = any(task.vm_lck_pages for run in results.runs for task in run.tasks)
    there = {
        "bars": True,
        "where": True,
        "cdf": any(run.latency for run in results.runs),
        "series": any(run.series for run in results.runs),
        "memory": locked and not compared,
        "curves": any(row.at for row in results.sweep.rows),
        "outcomes": False,
        "percentiles": False,
        "timeline": False,
    }
    return [name for name in KNOWN if there[name]]
