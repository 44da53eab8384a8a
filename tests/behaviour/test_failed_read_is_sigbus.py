"""A page that a device can't read: the kernel tries once more, by itself, then the task gets SIGBUS (B.5,
filemap_fault).
"""

from __future__ import annotations

from typing import Any

import pytest
from scenario import PAGE, READ, Outcome, finish, mmap, start

from vmsim.struct.files import FI_RA_PAGES

PAGES = 256
BAD = 100
FILE = {"data": {"size": PAGES * PAGE}}


class BadPages:
    """A device fault: transfers that touch page BAD fail, the first `times` of them. `reads` are those seen."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.reads: list[tuple[int, int]] = []

    def __call__(self, now: int, write: int, first: int, pages: int) -> bool:
        if first <= BAD < first + pages:
            self.reads.append((first, pages))
            return len(self.reads) <= self.times
        return False


def read_bad(times: int, *before: dict[str, Any]) -> tuple[Outcome, BadPages]:
    steps = [*before, mmap(PAGES * PAGE, file="data", prot=READ), {"touch": {"addr": f"m + {BAD * PAGE}"}}]
    built = start(steps, files=FILE, vars={"n": 0})
    fault = BadPages(times)
    built.machine.devices[0].fault = fault
    return finish(built), fault


def test_killed_without_a_handler() -> None:
    """The window around the page, then the page alone: two reads, SIGBUS. A failed fault counts neither as minor
    nor as major.
    """
    outcome, fault = read_bad(99)
    assert outcome.exit() == "SIGBUS"
    assert fault.reads == [(BAD - 16, 32), (BAD, 1)]
    assert (outcome.task(6), outcome.task(7)) == (0, 0)


def test_window_shrinks_to_a_quarter() -> None:
    """shrink_readahead_size_eio: ra_pages of the file is divided by 4, once for the SIGBUS: 32 pages become 8."""
    outcome, _ = read_bad(99)
    assert outcome.built.kernel.file[outcome.built.file_ids["data"], FI_RA_PAGES] == 8


def test_second_read_that_succeeds_is_enough() -> None:
    """A transient error: the synchronous re-read brings the page in, the access is a major fault and nobody hears
    of it.
    """
    outcome, fault = read_bad(1)
    assert outcome.exit() == "done"
    assert fault.reads == [(BAD - 16, 32), (BAD, 1)]
    assert (outcome.task(6), outcome.task(7)) == (0, 1)
    assert outcome.built.kernel.file[outcome.built.file_ids["data"], FI_RA_PAGES] == 32


def test_handler_may_give_up() -> None:
    """A SIGBUS handler gets the address; when it maps other memory there, the access succeeds."""
    replace = {"mmap": {"addr": "at", "length": PAGE, "flags": ["MAP_PRIVATE", "MAP_ANONYMOUS", "MAP_FIXED"]}}
    handler = {"on_signal": {"signal": "SIGBUS", "as": "at", "steps": [{"set": {"n": "n + 1"}}, replace]}}
    outcome, _ = read_bad(99, handler)
    assert outcome.exit() == "done"
    assert outcome.register("n") == 1
    assert outcome.register("at") == outcome.register("m") + BAD * PAGE


@pytest.mark.parametrize("call", ["mlock", "populate"])
def test_population_of_a_bad_page(call: str) -> None:
    """mlock reports it as ENOMEM (A.7 step 10); mmap with MAP_POPULATE hides it."""
    steps: list[dict[str, Any]] = [mmap(PAGES * PAGE, file="data", prot=READ)]
    if call == "mlock":
        steps.append({"mlock": {"addr": "m", "length": PAGES * PAGE, "expect": "ENOMEM"}})
    else:
        steps[0]["mmap"]["flags"] = ["MAP_PRIVATE", "MAP_POPULATE"]
    built = start(steps, files=FILE, capabilities=["CAP_IPC_LOCK"])
    built.machine.devices[0].fault = BadPages(99)
    outcome = finish(built)
    assert outcome.exit() == "done"
    assert outcome.locked_vm == (PAGES if call == "mlock" else 0)


def test_beyond_the_end_of_the_file() -> None:
    """B.1: a page wholly beyond the end of the file is SIGBUS; the rest of the last page can be read."""
    for page, end in ((2, "done"), (3, "SIGBUS")):
        steps = [mmap(8 * PAGE, file="data", prot=READ), {"touch": {"addr": f"m + {page * PAGE + 4000}"}}]
        built = start(steps, files={"data": {"size": 2 * PAGE + 1, "cached": "all"}})
        assert finish(built).exit() == end
