"""How all plots look: one palette that colour-blind people can tell apart, one font, the same bytes for the same data."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import Formatter, FuncFormatter, LogLocator, NullLocator

from vmsim.errors import VmsimError
from vmsim.units import NS_PER_MS, NS_PER_S, NS_PER_US

# Okabe and Ito, "Color Universal Design" (2008), with grey for black.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILION, YELLOW, GREY = "#56B4E9", "#D55E00", "#F0E442", "#999999"
INK = "#222222"
PALETTE = (BLUE, ORANGE, GREEN, PINK, SKY, VERMILION, GREY, INK)
_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
FAINT = "#DDDDDD"

_RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#888888",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "hatch.linewidth": 0.6,
    "savefig.dpi": 150,
    "svg.hashsalt": "vmsim",
    "svg.fonttype": "none",
}
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
}
FORMATS = tuple(_METADATA)


def style() -> AbstractContextManager[None]:
    """The settings that every figure is made and saved under."""
    return rc_context(_RC)


def new_figure(width_in: float, height_in: float, title: str) -> Figure:
    """An empty figure with its title at the left."""
    figure = Figure(figsize=(width_in, height_in), layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08))
    figure.suptitle(title, x=0.012, ha="left", fontsize=12, fontweight="bold")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write the figure in the format of the path's suffix. Raises VmsimError if the disk refuses."""
    try:
        figure.savefig(path, metadata=_METADATA[path.suffix[1:]])
    except OSError as error:
        raise VmsimError(f"can't write {path}: {error.strerror or error}") from error


def line_look(number: int, of: int) -> dict[str, Any]:
    """Colour, dashes and width of one of several lines; later lines are thinner, so that one below another still shows."""
    width = 1.4 + 1.8 * (of - 1 - number) / max(1, of - 1)
    return {"color": PALETTE[number % len(PALETTE)], "linestyle": _DASHES[number % len(_DASHES)], "linewidth": width}


def number_text(value: float) -> str:
    """A number as a reader wants it beside a bar: three digits, never an exponent for everyday sizes."""
    if abs(value) >= 100 or not value:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if abs(value) >= 1 else f"{value:.3g}"


def time_unit(longest_ns: float) -> tuple[str, int]:
    """The unit for an axis that reaches so far, and its nanoseconds."""
    for unit, per in (("s", NS_PER_S), ("ms", NS_PER_MS), ("µs", NS_PER_US)):
        if longest_ns >= per / 2:
            return unit, per
    return "ns", 1


def plain_ticks() -> FuncFormatter:
    """Tick labels without exponents."""
    return FuncFormatter(lambda value, _: f"{value:,.10f}".rstrip("0").rstrip("."))


def wrapped(name: str, width: int = 34) -> str:
    """A long name on several lines."""
    return "\n".join(textwrap.wrap(name, width)) or name


def hide_y_grid(axes: Axes) -> None:
    """Horizontal bars need vertical lines only."""
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def log_ticks(axis: Axis, of: Formatter, within_decade: Sequence[float] = (1,)) -> None:
    """Labels at these multiples of powers of ten; no unlabelled ticks between, which take most of the time to draw."""
    axis.set_major_locator(LogLocator(subs=within_decade))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(of)


def wants_log(values: Sequence[float]) -> bool:
    """Whether values differ so much that small bars would vanish on a linear axis."""
    positive = [value for value in values if value > 0]
    return bool(positive) and max(positive) > 60 * min(positive)
