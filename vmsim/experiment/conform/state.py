"""The simulated state in a recording's form, and comparing the two."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from vmsim.experiment.conform.recording import Json, RecordedState
from vmsim.mm.task_mmu import (
    PSS_SHIFT,
    VW_COLUMNS,
    VW_LCK,
    VW_NCACHED,
    VW_NRUNS,
    VW_NVMAS,
    VW_OUT,
    VW_STATE,
    VW_VSZ,
)
from vmsim.struct import vmas as v
from vmsim.workload.replay import FILE, WINDOW_START

# VmFlags of smaps in the order of their bits, without those that recordings leave out.
_MNEMONICS = (
    (v.VM_GROWSDOWN, "gd"), (v.VM_PFNMAP, "pf"), (v.VM_LOCKED, "lo"), (v.VM_IO, "io"), (v.VM_SEQ_READ, "sr"), (v.VM_RAND_READ, "rr"),
    (v.VM_DONTCOPY, "dc"), (v.VM_DONTEXPAND, "de"), (v.VM_LOCKONFAULT, "lf"), (v.VM_ACCOUNT, "ac"), (v.VM_NORESERVE, "nr"),
    (v.VM_HUGETLB, "ht"), (v.VM_WIPEONFORK, "wf"),
    (v.VM_DONTDUMP, "dd"), (v.VM_MIXEDMAP, "mm"), (v.VM_HUGEPAGE, "hg"), (v.VM_NOHUGEPAGE, "nh"), (v.VM_MERGEABLE, "mg"),
)  # fmt: skip
_PAGE_CHARS = ".ZAF"
_PGOFF_MASK = (1 << 52) - 1  # the file shows offsets in bytes, as 64-bit numbers
Vma = list[Any]


def _perms(flags: int) -> str:
    return (
        ("r" if flags & v.VM_READ else "-")
        + ("w" if flags & v.VM_WRITE else "-")
        + ("x" if flags & v.VM_EXEC else "-")
        + ("s" if flags & v.VM_MAYSHARE else "p")
    )


class StateText:
    """Turns numbers of `k.shown` into a recording's terms; shared objects are numbered as they show up in a sequence."""

    def __init__(self, lockonfault: str, zero_page_known: bool) -> None:
        self._lockonfault = lockonfault
        self._flags: dict[int, tuple[str, str]] = {}
        self._vma_texts: dict[tuple[int, ...], str] = {}
        self._run_texts: dict[str, dict[tuple[int, ...], str]] = defaultdict(dict)
        self._objects: dict[int, str] = {}
        self._page_chars = _PAGE_CHARS if zero_page_known else _PAGE_CHARS.replace("Z", "A")

    def _flag_text(self, flags: int) -> tuple[str, str]:
        found = self._flags.get(flags)
        if found is None:
            names = [self._lockonfault if name == "lf" else name for bit, name in _MNEMONICS if flags & bit]
            found = self._flags[flags] = _perms(flags), " ".join(names)
        return found

    def _object(self, serial: int) -> str:
        name = self._objects.get(serial)
        if name is None:
            name = self._objects[serial] = f"shm{len(self._objects)}"
        return name

    def vmas(self, view: list[int]) -> list[Vma]:
        """The VMAs of the window as a recording lists them."""
        end = VW_STATE + view[VW_NVMAS] * VW_COLUMNS
        return [self._vma(view[at : at + VW_COLUMNS]) for at in range(VW_STATE, end, VW_COLUMNS)]

    def _vma(self, numbers: Iterable[int]) -> Vma:
        start, pages, flags, file, serial, pgoff, rss, anon, pss = numbers
        perms, text = self._flag_text(flags)
        if file == 0:
            name, pgoff = "anon", 0
        else:
            name = "file" if file == FILE else self._object(serial)
            pgoff &= _PGOFF_MASK
        locked = pss >> (10 + PSS_SHIFT) if flags & v.VM_LOCKED else 0
        return [start - WINDOW_START, pages, perms, name, pgoff, rss, anon, locked, text]

    def _vma_text(self, numbers: tuple[int, ...]) -> str:
        text = self._vma_texts.get(numbers)
        if text is None:
            start, pages, perms, name, pgoff, rss, anon, locked, flags = self._vma(numbers)
            text = f'[{start},{pages},"{perms}","{name}",{pgoff},{rss},{anon},{locked},"{flags}"]'
            self._vma_texts[numbers] = text
        return text

    def text(self, view: list[int]) -> str:
        """The whole state as recorders write it."""
        end = VW_STATE + view[VW_NVMAS] * VW_COLUMNS
        vmas = ",".join([self._vma_text(tuple(view[at : at + VW_COLUMNS])) for at in range(VW_STATE, end, VW_COLUMNS)])
        return (
            f'{{"vmas":[{vmas}],"vsz":{view[VW_VSZ]},"lck":{view[VW_LCK]},"out":{view[VW_OUT]},'
            f'"pages":"{self.pages(view)}","pc":"{self.cached(view)}"}}'
        )

    def pages(self, view: list[int]) -> str:
        """The window's pages, run by run."""
        at = VW_STATE + view[VW_NVMAS] * VW_COLUMNS
        return self._runs(tuple(view[at : at + view[VW_NRUNS]]), self._page_chars)

    def cached(self, view: list[int]) -> str:
        """The file's cached pages, run by run."""
        at = VW_STATE + view[VW_NVMAS] * VW_COLUMNS + view[VW_NRUNS]
        return self._runs(tuple(view[at : at + view[VW_NCACHED]]), ".c")

    def _runs(self, runs: tuple[int, ...], chars: str) -> str:
        known = self._run_texts[chars]
        text = known.get(runs)
        if text is None:
            alike = [(char, sum(run >> 2 for run in group)) for char, group in groupby(runs, lambda run: chars[run & 3])]
            text = known[runs] = "".join([f"{count}{char}" for char, count in alike])
        return text

    def state(self, view: list[int]) -> Json:
        """The whole state."""
        return {
            "vmas": self.vmas(view), "vsz": view[VW_VSZ], "lck": view[VW_LCK], "out": view[VW_OUT],
            "pages": self.pages(view), "pc": self.cached(view),
        }  # fmt: skip


def merged(vmas: list[Vma]) -> list[Vma]:
    """The list with neighbours joined that are alike in all but their sums: where VMAs are split is left out of the comparison."""
    joined: list[Vma] = []
    for vma in vmas:
        last = joined[-1] if joined else None
        if (
            last is not None
            and last[0] + last[1] == vma[0]
            and last[2:4] == vma[2:4]
            and last[8] == vma[8]
            and (vma[3] == "anon" or (last[4] + last[1]) & _PGOFF_MASK == vma[4])
        ):
            last[1] += vma[1]
            last[5] += vma[5]
            last[6] += vma[6]
            last[7] += vma[7]
            last[9] += 1
        else:
            joined.append([*vma, 1])
    return joined


def vmas_agree(expected: list[Vma], simulated: list[Vma]) -> bool:
    """Whether two lists tell of the same pages; `Locked:` is rounded down in each VMA, so pieces may differ by 1 kB each."""
    if expected == simulated:
        return True
    left, right = merged(expected), merged(simulated)
    if len(left) != len(right):
        return False
    return all(
        a[:7] == b[:7] and a[8] == b[8] and (a[7] == b[7] if a[9] == b[9] == 1 else abs(a[7] - b[7]) < max(a[9], b[9]))
        for a, b in zip(left, right, strict=True)
    )


Difference = tuple[str, Any, Any]


def state_differences(expected: Json | RecordedState, view: list[int], text: StateText) -> list[Difference]:
    """What a recorded state and the simulated one differ in: name, recorded and simulated value."""
    if isinstance(expected, RecordedState):
        if expected.text == text.text(view):
            return []
        expected = expected.parsed()
    found: list[Difference] = []
    vmas = text.vmas(view)
    if not vmas_agree(expected["vmas"], vmas):
        found.append(("vmas", expected["vmas"], vmas))
    for name, value in (("vsz", view[VW_VSZ]), ("lck", view[VW_LCK]), ("out", view[VW_OUT])):
        if expected[name] != value:
            found.append((name, expected[name], value))
    shown: tuple[tuple[str, Callable[[list[int]], str]], ...] = (("pages", text.pages), ("pc", text.cached))
    for name, show in shown:
        recorded = expected.get(name)
        if recorded is not None and recorded != (simulated := show(view)):
            found.append((name, recorded, simulated))
    return found
