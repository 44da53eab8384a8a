"""A handler that opens a batch of pages beyond the end of the mapping takes away the execute right of the C
library's code.

The dynamic image has the library's text right above the area where mmap places mappings, its code from page 31 of
it on: a batch
that starts on the mapping's last page reaches page 31 of what follows if it is longer than 32 pages.
"""

from __future__ import annotations

import pytest
from scenario import IMAGE_VMAS, PAGE, ROOT, WRITE, mmap, run

PAGES = 1024  # more than the 460 that are free inside the image, so that it lies below the C library


@pytest.mark.parametrize(("batch", "end"), [(1, "done"), (16, "done"), (32, "done"), (33, "SIGSEGV"), (64, "SIGSEGV")])
def test_batches(batch: int, end: str) -> None:
    """Batches of 1 and 16 survive touching the last page, 64 crashes the program; the border is where the drawing
    puts it.
    """
    rest = {"addr": "at + PAGE_SIZE", "length": (batch - 1) * PAGE, "expect": "any"}
    steps = [
        {"mprotect": {"addr": "at", "length": PAGE, "prot": WRITE}}, {"mlock": {"addr": "at", "length": PAGE}},
        {"mprotect": {**rest, "prot": WRITE}}, {"mlock": rest},
    ]  # fmt: skip
    handler = {"on_signal": {"signal": "SIGSEGV", "as": "at", "steps": steps[: 2 if batch == 1 else 4]}}
    last = {"touch": {"addr": f"m + {(PAGES - 1) * PAGE}", "op": "write"}}
    outcome = run([handler, mmap(PAGES * PAGE, prot=["PROT_NONE"]), last], capabilities=ROOT)
    assert outcome.exit() == end
    assert outcome.task(8) == 1


def test_the_image_has_17_vmas() -> None:
    """As the published programs had: 17 VMAs, 18 with the mapping."""
    assert run([]).vmas == IMAGE_VMAS
    assert run([mmap(PAGES * PAGE, prot=["PROT_NONE"])]).vmas == IMAGE_VMAS + 1
