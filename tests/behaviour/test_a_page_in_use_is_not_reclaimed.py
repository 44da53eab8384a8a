"""Who uses a page holds a reference on it (find_get_page), so the reclaim that its next allocation makes can't take it away.

Without that, a reader whose cache is smaller than its read-ahead window may read the same pages for ever.
"""

from __future__ import annotations

from typing import Any

import pytest
from scenario import PAGE, finish, start

from vmsim.machine.ending import FINISHED
from vmsim.machine.verify import verify

PAGES = 512
MAP = {"mmap": {"length": PAGES * PAGE, "file": "data", "prot": ["READ"], "as": "map"}}
TIGHT: dict[str, Any] = {"files": {"data": {"size": PAGES * PAGE}}, "ram": "512 KiB", "image": "none"}


@pytest.mark.parametrize(("version", "lru_gen"), [("4.4", False), ("6.1", False), ("6.1", True)])
def test_a_window_larger_than_the_cache(version: str, lru_gen: bool) -> None:
    """60 locked pages leave about twenty to the cache; a read(2) of 21 reads the marker's window while it uses the marker page."""
    hog = [{"mmap": {"length": 60 * PAGE, "as": "hog"}}, {"mlock": {"addr": "hog", "length": 60 * PAGE}}]
    read = {"pread": {"file": "data", "offset": 23 * PAGE + 100, "length": 21 * PAGE - 50}}
    more = {"lru_gen": True} if lru_gen else {}
    built = start(
        [*hog, read], version=version, capabilities=["CAP_IPC_LOCK"], swap={"device": "sda", "size": "40 KiB"},
        devices={"sda": {"type": "nvme"}}, cpus=2, **more, **TIGHT,
    )  # fmt: skip
    assert built.machine.run(until_ns=3_000_000_000).reason == FINISHED
    verify(built.kernel)


def test_a_page_that_is_copied() -> None:
    """A private page of a file, copied at its first write where every copy needs a page to be reclaimed."""
    write = {"access": {"region": "map", "pattern": {"type": "sequential"}, "count": PAGES, "op": "write"}}
    program = [{"mmap": {**MAP["mmap"], "prot": ["READ", "WRITE"], "flags": ["PRIVATE"]}}, write]
    finish(start(program, swap={"device": "sda", "size": "4 MiB"}, **TIGHT))
