"""The simulated state in a recording's form, and comparing the two."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from vmsim.experiment.conform.recording import Json, RecordedState
from vmsim.experiment.conform.shown_text import PGOFF_MASK, shown_text, word
from vmsim.struct import vmas as v

Numbers = np.ndarray[Any, np.dtype[np.int64]]

# VmFlags of smaps in the order of their bits, without those that recordings leave out.
_MNEMONICS = (
    (v.VM_GROWSDOWN, "gd"), (v.VM_PFNMAP, "pf"), (v.VM_LOCKED, "lo"), (v.VM_IO, "io"), (v.VM_SEQ_READ, "sr"), (v.VM_RAND_READ, "rr"),
    (v.VM_DONTCOPY, "dc"), (v.VM_DONTEXPAND, "de"), (v.VM_LOCKONFAULT, "lf"), (v.VM_ACCOUNT, "ac"), (v.VM_NORESERVE, "nr"),
    (v.VM_HUGETLB, "ht"), (v.VM_WIPEONFORK, "wf"),
    (v.VM_DONTDUMP, "dd"), (v.VM_MIXEDMAP, "mm"), (v.VM_HUGEPAGE, "hg"), (v.VM_NOHUGEPAGE, "nh"), (v.VM_MERGEABLE, "mg"),
)  # fmt: skip
_PAGE_CHARS = ".ZAF"
Vma = list[Any]


class StateText:
    """The state in `k.shown` in a recording's terms; shared objects are numbered as they show up in a sequence."""

    def __init__(self, lockonfault: str, zero_page_known: bool) -> None:
        pages = _PAGE_CHARS if zero_page_known else _PAGE_CHARS.replace("Z", "A")
        words = [*map(ord, pages + ".c")]
        for bit, name in _MNEMONICS:
            words += bit, word((lockonfault if name == "lf" else name).encode())
        self.terms = lockonfault, zero_page_known
        self._words = np.array(words, np.int64)
        self._objects = np.zeros(1 << 10, np.int64)
        self._out = np.zeros(1 << 14, np.uint8)

    def begin(self) -> None:
        """A new sequence: no shared object has shown up."""
        self._objects[:] = 0

    def text(self, shown: Numbers) -> bytes:
        """The whole state as recorders write it."""
        while (length := shown_text(shown, self._out, self._words, self._objects)) < 0:
            self._out = np.zeros(2 * len(self._out), np.uint8)
            self._objects = np.concatenate([self._objects, np.zeros_like(self._objects)])
        return self._out[:length].tobytes()

    def state(self, view: list[int]) -> Json:
        """The whole state, from a list of the numbers."""
        state: Json = json.loads(self.text(np.array(view, np.int64)))
        return state

    def vmas(self, view: list[int]) -> list[Vma]:
        """The VMAs of the window as a recording lists them."""
        vmas: list[Vma] = self.state(view)["vmas"]
        return vmas

    def pages(self, view: list[int]) -> str:
        """The window's pages, run by run."""
        return str(self.state(view)["pages"])

    def cached(self, view: list[int]) -> str:
        """The file's cached pages, run by run."""
        return str(self.state(view)["pc"])


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
            and (vma[3] == "anon" or (last[4] + last[1]) & PGOFF_MASK == vma[4])
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


def answer_differences(expected: Json, simulated: Json) -> list[Difference]:
    """What recorded and simulated results differ in. Raises KeyError for a field that is missing."""
    found: list[Difference] = []

    def compare(name: str, left: Any, right: Any) -> None:
        if left != right:
            found.append((name, left, right))

    if "done" in simulated:
        compare("done", expected["done"], simulated["done"])
        compare("signal", *([results.get(name) for name in ("sig", "code", "at")] for results in (expected, simulated)))
        compare("vals", expected.get("vals"), simulated.get("vals"))
    else:
        compare("ret", *(results["err"] if results["ret"] == -1 else results["ret"] for results in (expected, simulated)))
        compare("vec", expected.get("vec"), simulated.get("vec"))
    for name in ("minflt", "majflt"):
        compare(name, expected[name], simulated[name])
    return found


def state_differences(expected: Json | RecordedState, simulated: bytes) -> list[Difference]:
    """What a recorded state and the simulated one differ in: name, recorded and simulated value."""
    if isinstance(expected, RecordedState):
        if expected.text == simulated:
            return []
        expected = expected.parsed()
    state = json.loads(simulated)
    found: list[Difference] = []
    if not vmas_agree(expected["vmas"], state["vmas"]):
        found.append(("vmas", expected["vmas"], state["vmas"]))
    for name in ("vsz", "lck", "out"):
        if expected[name] != state[name]:
            found.append((name, expected[name], state[name]))
    for name in ("pages", "pc"):
        recorded = expected.get(name)
        if recorded is not None and recorded != state[name]:
            found.append((name, recorded, state[name]))
    return found
