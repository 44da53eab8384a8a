"""Draws the pictures that the README and the pages in `experiments` show: `python plots/gallery.py [NAME ...]`.

Each experiment is run first (what is in `results/` already is kept, see `vmsim run`), then its plots are written beside this
file as `EXPERIMENT-PLOT.png`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from vmsim.cli import main
from vmsim.experiment.store import load_results
from vmsim.report.plot import draw_plots

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"
COLOURS = 128  # of a picture, which makes it a third of its size
GALLERY = {
    "lock-on-fault": ("bars", "where", "cdf"),
    "security-buffer": ("memory",),
    "thrashing-curve": ("curves",),
    "swappiness": ("curves",),
    "read-ahead": ("curves",),
    "page-cluster": ("curves",),
    "swap-devices": ("curves",),
    "noisy-neighbour": ("percentiles", "timeline"),
    "lock-on-fault-pressure": ("outcomes",),
}


def draw(experiment: str, plots: tuple[str, ...]) -> int:
    """Run one experiment and put its pictures here; returns the exit status of the run."""
    directory = RESULTS / experiment
    status = main(["run", experiment, "--out", str(directory), "--no-plots"])
    if status == 0:
        with tempfile.TemporaryDirectory(dir=HERE) as drawn:
            for path in draw_plots(load_results(directory), Path(drawn), "png", plots):
                with Image.open(path) as picture:
                    picture.convert("RGB").quantize(COLOURS).save(path, optimize=True)
                print(path.replace(HERE / f"{experiment}-{path.name}"))
    return status


if __name__ == "__main__":
    sys.exit(max(draw(name, GALLERY[name]) for name in sys.argv[1:] or GALLERY))
