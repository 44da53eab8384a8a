"""The table of an experiment, as text for people and as JSON for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby, zip_longest
from typing import Any

from vmsim.experiment.store import Results
from vmsim.report.compare import FactLine, PhaseLine, fact_lines, phase_lines
from vmsim.units import NS_PER_MS

_NAME_WIDTH = 46
_ABSENT = "-"

Cells = tuple[str, ...]


def table_text(results: Results) -> str:
    """The table beside the published values, and below it the stated counts, if any."""
    lines, facts = phase_lines(results), fact_lines(results)
    counts = sorted({line.runs for line in lines})
    runs = (
        f"{counts[0]} to {counts[-1]} runs"
        if len(counts) > 1
        else f"{counts[0]} run{'s' * (counts[0] > 1)}"
        if counts
        else "no runs yet"
    )
    text = [f"{results.sweep.title}: {runs} a row, mean times in ms", "", *_phase_table(lines)]
    if facts:
        text += ["", "Stated counts", "", *_fact_table(facts)]
    missed = sum(line.within is False for line in lines) + sum(not fact.within for fact in facts)
    if missed:
        text += ["", f"* {missed} beyond tolerance"]
    return "\n".join(text) + "\n"


def _phase_table(lines: Sequence[PhaseLine]) -> list[str]:
    published = any(line.published_ns is not None or line.published_fails for line in lines)
    heads: Cells = ("row", "phase", "kind", "published", "simulated", "spread", "error")
    rows: list[Cells] = []
    for line in lines:
        told = line.published_fails or _ms(line.published_ns)
        cells = (
            line.row,
            line.phase,
            line.kind,
            told,
            _simulated(line),
            _ms(line.spread_ns),
            _error(line.error_percent, line.within),
        )
        rows.append(cells)
    if not published:
        keep = (0, 1, 4, 5)
        heads, rows = _picked(heads, keep), [_picked(cells, keep) for cells in rows]
    return laid_out(heads, rows, left=3 if published else 2)


def _picked(cells: Cells, columns: Sequence[int]) -> Cells:
    return tuple(cells[column] for column in columns)


def _simulated(line: PhaseLine) -> str:
    if not line.stopped_runs:
        return _ms(line.simulated_ns)
    stopped = stop_text(line.stopped_by or "", line.stopped_after_signals)
    if line.stopped_runs == line.runs:
        return stopped
    return f"{_ms(line.simulated_ns)}\n{line.stopped_runs} of {line.runs} runs:\n{stopped}"


def stop_text(stopped_by: str, signals: float | None) -> str:
    """`mprotect: ENOMEM` as people say it: `ENOMEM from mprotect` and, on a second line, `after 33,597 signals`."""
    call, colon, error = stopped_by.partition(": ")
    told = f"{error} from {call}" if colon else stopped_by
    return f"{told}\nafter {signals:,.0f} signals" if signals else told


def _ms(ns: float | None) -> str:
    return _ABSENT if ns is None else f"{ns / NS_PER_MS:,.3f}"


def _error(percent: float | None, within: bool | None) -> str:
    told = (
        "as published"
        if percent is None and within
        else _ABSENT
        if percent is None
        else f"{round(percent, 1) + 0.0:+.1f} %"
    )
    return f"{told} *" if within is False else told


def _fact_table(facts: Sequence[FactLine]) -> list[str]:
    heads = ("row", "count", "stated", "simulated", "spread", "error")
    rows = []
    for line in facts:
        simulated = "not counted" if line.simulated is None else _count(line.simulated)
        spread = _ABSENT if line.spread is None else _count(line.spread)
        rows.append(
            (line.row, line.fact, f"{line.stated:,}", simulated, spread, _error(line.error_percent, line.within))
        )
    return laid_out(heads, rows, left=2)


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def laid_out(heads: Cells, rows: Sequence[Cells], left: int) -> list[str]:
    """Text in columns, the first `left` of them to the left; cells may have lines, and a first cell that repeats is shown once."""
    blocks = [[part for row in group for part in _lines_of(row[1:])] for _, group in groupby(rows, lambda row: row[0])]
    names = [textwrap.wrap(name, _NAME_WIDTH) or [""] for name, _ in groupby(rows, lambda row: row[0])]
    lines = [heads]
    for name, block in zip(names, blocks, strict=True):
        lines += [(first, *rest) for first, rest in zip_longest(name, block, fillvalue="")]
    widths = [max(len(line[column]) for line in lines if len(line) > column) for column in range(len(heads))]
    text = [_line_of(line, widths, left) for line in lines]
    return [text[0], "  ".join("-" * width for width in widths), *text[1:]]


def _lines_of(cells: Cells) -> list[Cells]:
    return list(zip_longest(*(cell.split("\n") for cell in cells), fillvalue=""))


def _line_of(cells: Cells, widths: Sequence[int], left: int) -> str:
    return "  ".join(
        c.ljust(w) if n < left else c.rjust(w) for n, (c, w) in enumerate(zip(cells, widths, strict=False))
    ).rstrip()


def phases_json(results: Results) -> list[dict[str, Any]]:
    """One object for each row and phase; times in milliseconds, null where there is nothing to tell."""
    return [
        {
            "row": line.row,
            "phase": line.phase,
            "kind": line.kind,
            "published_ms": _json_ms(line.published_ns),
            "simulated_ms": _json_ms(line.simulated_ns),
            "spread_ms": _json_ms(line.spread_ns),
            "error_percent": _rounded(line.error_percent),
            "row_id": line.row_id,
            "runs": line.runs,
            "status": "failed" if line.stopped_runs else "ok",
            "stopped_runs": line.stopped_runs,
            "stopped_by": line.stopped_by,
            "stopped_after_signals": line.stopped_after_signals,
            "published_fails": line.published_fails,
            "within": line.within,
        }
        for line in phase_lines(results)
    ]


def facts_json(results: Results) -> list[dict[str, Any]]:
    """One object for each stated count."""
    return [
        {
            "row": line.row,
            "fact": line.fact,
            "stated": line.stated,
            "simulated": line.simulated,
            "spread": line.spread,
            "error_percent": _rounded(line.error_percent),
            "row_id": line.row_id,
            "within": line.within,
        }
        for line in fact_lines(results)
    ]


def _json_ms(ns: float | None) -> float | None:
    return None if ns is None else round(ns / NS_PER_MS, 9)


def _rounded(percent: float | None) -> float | None:
    return None if percent is None else round(percent, 6)
