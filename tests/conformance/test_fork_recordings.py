"""Recorded runs of a forking C program on Linux 4.4.1: the same faults, phase by phase, as the same steps in vmsim.

The program fills 20,000 pages, forks, lets the child read or write a part of them, then itself writes a part while the
child lives and all of them after its end.  The C program and its child also take a few faults on their own stack, data
and code (up to 10 a phase in the recordings, 14 pages), which the simulated program does not have.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scenario import PAGE, mmap, phase, run, sweep

from vmsim.struct import tasks as t

RECORDED = json.loads((Path(__file__).parent / "data" / "fork_4.4.1.json").read_text())["runs"]
OWN_FAULTS = 14
OWN = ("populate", "parent_write_while_child_alive", "parent_write_all_after_exit")  # exact: nothing else happens in them


def _part(count: int, op: str) -> list[dict[str, Any]]:
    return [sweep("b", count, op=op)] if count else []


def _program(pages: int, wchild: int, wparent: int, rchild: int) -> list[dict[str, Any]]:
    child = [{"wait_for": "go"}, *_part(rchild, "read"), *_part(wchild, "write"), {"post": "done"}, {"wait_for": "leave"}]
    return [
        mmap(pages * PAGE, "b"),
        phase("populate", *_part(pages, "write")),
        phase("fork", {"fork": {"steps": child}}),
        phase("child_access", {"post": "go"}, {"wait_for": "done"}),
        phase("parent_write_while_child_alive", *_part(wparent, "write")),
        phase("child_exit", {"post": "leave"}, {"wait": {}}),
        phase("parent_write_all_after_exit", *_part(pages, "write")),
    ]


@pytest.mark.parametrize("recorded", [r for r in RECORDED if r["rep"] == 0], ids=lambda r: r["label"])
def test_faults_of_each_phase(recorded: dict[str, Any]) -> None:
    """As recorded: exactly in the phases in which the C program does nothing else, within its own faults elsewhere."""
    given = recorded["params"]
    parts = [given.get(name, 0) for name in ("wchild", "wparent", "rchild")]
    outcome = run(_program(given["pages"], *parts), ram="512 MiB")
    for name, expected in recorded["phases"].items():
        counters = outcome.phase(name).counters
        assert counters["ru_majflt"] == expected["majflt"] == 0
        if name in OWN:
            assert counters["ru_minflt"] == expected["minflt"], name
        else:
            assert 0 <= expected["minflt"] - counters["ru_minflt"] <= OWN_FAULTS, name
        assert abs(counters["nr_anon_pages"] - expected["nr_anon_pages"]) <= OWN_FAULTS, name
    children = outcome.task(t.T_CMIN_FLT)
    assert 0 <= recorded["children_minflt"] - children <= OWN_FAULTS
    assert children == given.get("wchild", 0)
