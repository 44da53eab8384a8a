"""The compiled text of a state against the same told by Python's own formatting."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from vmsim.experiment.conform.state import StateText
from vmsim.mm.task_mmu import PSS_SHIFT, VW_COLUMNS, VW_LCK, VW_NCACHED, VW_NRUNS, VW_NVMAS, VW_OUT, VW_STATE, VW_VSZ
from vmsim.struct import vmas as v
from vmsim.workload.replay import FILE, WINDOW_START

# include/linux/mm.h and show_smap_vma_flags of fs/proc/task_mmu.c
FLAGS = [
    (v.VM_GROWSDOWN, "gd"), (v.VM_LOCKED, "lo"), (v.VM_SEQ_READ, "sr"), (v.VM_RAND_READ, "rr"), (v.VM_DONTCOPY, "dc"),
    (v.VM_LOCKONFAULT, "lf"), (v.VM_ACCOUNT, "ac"), (v.VM_NORESERVE, "nr"), (v.VM_NOHUGEPAGE, "nh"),
]  # fmt: skip
PERMS = [(v.VM_READ, "r"), (v.VM_WRITE, "w"), (v.VM_EXEC, "x")]


def random_view(draw: random.Random, vmas: int) -> list[int]:
    rows = []
    for _ in range(vmas):
        flags = sum(bit for bit, _ in FLAGS + PERMS if draw.random() < 0.4) | (v.VM_MAYSHARE if draw.random() < 0.3 else 0)
        file = draw.choice([0, FILE, FILE + 1])
        start = WINDOW_START + draw.randrange(-3, 512)
        pgoff = draw.choice([0, draw.randrange(64), (1 << 63) - 1, -1])
        rss = draw.randrange(20)
        rows += [start, draw.randrange(1, 9), flags, file, draw.randrange(1, 5000), pgoff, rss, rss // 2, draw.randrange(1 << 40)]
    runs = [draw.randrange(1, 99) << 2 | draw.randrange(4) for _ in range(draw.randrange(1, 30))]
    cached = [draw.randrange(1, 64) << 2 | draw.randrange(2) for _ in range(draw.randrange(1, 9))]
    view = [0] * VW_STATE + rows + runs + cached
    view[VW_VSZ], view[VW_LCK], view[VW_OUT] = (draw.randrange(1 << draw.randrange(1, 50)) for _ in range(3))
    view[VW_NVMAS], view[VW_NRUNS], view[VW_NCACHED] = vmas, len(runs), len(cached)
    return view


class Twin:
    """The same in plain Python."""

    def __init__(self, lockonfault: str, zero_known: bool) -> None:
        self.lockonfault, self.chars = lockonfault, ".ZAF" if zero_known else ".AAF"
        self.objects: dict[int, int] = {}

    def vma(self, numbers: list[int]) -> list[object]:
        start, pages, flags, file, serial, pgoff, rss, anon, pss = numbers
        perms = "".join(char if flags & bit else "-" for bit, char in PERMS) + ("s" if flags & v.VM_MAYSHARE else "p")
        name = "anon" if file == 0 else "file" if file == FILE else f"shm{self.objects.setdefault(serial, len(self.objects))}"
        names = [self.lockonfault if name == "lf" else name for bit, name in FLAGS if flags & bit]
        locked = (pss >> PSS_SHIFT) // 1024 if flags & v.VM_LOCKED else 0
        return [start - WINDOW_START, pages, perms, name, pgoff % (1 << 52) if file else 0, rss, anon, locked, " ".join(names)]

    def runs(self, runs: list[int], chars: str) -> str:
        whole = "".join(chars[run & 3] * (run >> 2) for run in runs)
        shown, at = "", 0
        while at < len(whole):
            end = at
            while end < len(whole) and whole[end] == whole[at]:
                end += 1
            shown += f"{end - at}{whole[at]}"
            at = end
        return shown

    def text(self, view: list[int]) -> str:
        at = VW_STATE + view[VW_NVMAS] * VW_COLUMNS
        state = {
            "vmas": [self.vma(view[i : i + VW_COLUMNS]) for i in range(VW_STATE, at, VW_COLUMNS)],
            "vsz": view[VW_VSZ], "lck": view[VW_LCK], "out": view[VW_OUT],
            "pages": self.runs(view[at : at + view[VW_NRUNS]], self.chars),
            "pc": self.runs(view[at + view[VW_NRUNS] :], ".c"),
        }  # fmt: skip
        return json.dumps(state, separators=(",", ":"))


@pytest.mark.parametrize(("lockonfault", "zero_known"), [("lf", True), ("??", True), ("lf", False)])
def test_text_of_states(lockonfault: str, zero_known: bool) -> None:
    """Random states one after the other: shared objects keep their numbers; large states make the buffers grow."""
    draw = random.Random(4)
    text, twin = StateText(lockonfault, zero_known), Twin(lockonfault, zero_known)
    for count in [0, 1, 2, 5, 9, 200, 3, 12]:
        view = random_view(draw, count)
        assert text.text(np.array(view, np.int64)).decode() == twin.text(view)
        assert text.vmas(view) == json.loads(twin.text(view))["vmas"]
    text.begin()
    twin.objects.clear()
    view = random_view(draw, 6)
    assert text.text(np.array(view, np.int64)).decode() == twin.text(view)
