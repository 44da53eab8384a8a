"""Rival hypotheses beside each other: `python plots/rivals.py OUT.png DIR ...`, a result directory for each hypothesis.

For each row and phase with a published time, how many times too long or too short each hypothesis is, on a logarithmic
axis; the band is the tolerance of 5 %.
"""

from __future__ import annotations

import sys
from pathlib import Path

from matplotlib.figure import Figure

from vmsim.experiment.store import Results, load_results
from vmsim.report.compare import phase_lines
from vmsim.report.plots.style import (
    FAINT,
    PALETTE,
    hide_y_grid,
    log_ticks,
    new_figure,
    plain_ticks,
    save,
    style,
    wrapped,
)

MARKERS = "osD^vPX*"
TOLERANCE = 0.05
SHORTEST_NS = 1_000_000
"""Published times below a millisecond are noise of the publication and left out."""


def ratios(results: Results) -> dict[tuple[str, str], float]:
    """Simulated over published time of each row and phase that has both."""
    lines = [line for line in phase_lines(results) if (line.published_ns or 0) >= SHORTEST_NS]
    return {
        (ln.row, ln.phase): ln.simulated_ns / ln.published_ns for ln in lines if ln.simulated_ns and ln.published_ns
    }


def draw(hypotheses: list[Results]) -> Figure:
    """A line of markers for each row and phase, a marker a hypothesis."""
    found = [ratios(results) for results in hypotheses]
    places = {key: place for place, key in enumerate(dict.fromkeys(key for of in found for key in of))}
    figure = new_figure(11, 1.9 + 0.55 * len(places), "Simulated over published time, by hypothesis")
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.axvspan(1 - TOLERANCE, 1 + TOLERANCE, color=FAINT, linewidth=0, label="within 5 %")
    for number, (results, of) in enumerate(zip(hypotheses, found, strict=True)):
        step = 0.5 / max(1, len(found) - 1) if len(found) > 1 else 0
        at = [places[key] - 0.25 + number * step for key in of]
        axes.plot(
            list(of.values()),
            at,
            linestyle="none",
            color=PALETTE[number % len(PALETTE)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=7,
            markeredgecolor="white",
            label=results.sweep.title,
        )
    axes.set_yticks(list(places.values()), [f"{wrapped(row, 46)}\n{phase}" for row, phase in places], fontsize=8)
    axes.set_ylim(len(places) - 0.5, -0.5)
    log_ticks(axes.xaxis, plain_ticks(), within_decade=(1, 2, 5))
    axes.set_xlabel("times the published value (logarithmic)")
    hide_y_grid(axes)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python plots/rivals.py OUT.png DIR ...")
    with style():
        save(draw([load_results(directory) for directory in sys.argv[2:]]), Path(sys.argv[1]))
