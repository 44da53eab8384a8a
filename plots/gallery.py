"""Draws the pictures that the README shows: `python plots/gallery.py [NAME ...]`.

Each experiment is run first (what is in `results/` already is kept, see `vmsim run`), then its plots are written beside this
file as `EXPERIMENT-PLOT.png`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from vmsim.cli import main
from vmsim.experiment.store import load_results
from vmsim.report.plot import draw_plots

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"
GALLERY = {
    "lock-on-fault": ("bars", "where", "cdf"),
    "security-buffer": ("memory", "where"),
}


def draw(experiment: str, plots: tuple[str, ...]) -> int:
    """Run one experiment and put its pictures here; returns the exit status of the run."""
    directory = RESULTS / experiment
    status = main(["run", experiment, "--out", str(directory), "--no-plots"])
    if status == 0:
        with tempfile.TemporaryDirectory(dir=HERE) as drawn:
            for path in draw_plots(load_results(directory), Path(drawn), "png", plots):
                print(path.replace(HERE / f"{experiment}-{path.name}"))
    return status


if __name__ == "__main__":
    sys.exit(max(draw(name, GALLERY[name]) for name in sys.argv[1:] or GALLERY))
