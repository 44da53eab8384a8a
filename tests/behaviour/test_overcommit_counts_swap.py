"""Swap is room for commitments, too (__vm_enough_memory): free slots in the heuristic, all of them in CommitLimit."""

from __future__ import annotations

import pytest
from scenario import mmap, run

RAM_MIB, SWAP_MIB = 16, 32


def outcome(mib: int, mode: int, version: str = "4.4") -> str:
    return run(
        [mmap(f"{mib} MiB")], ram=f"{RAM_MIB} MiB", swap={"device": "sda", "size": f"{SWAP_MIB} MiB"},
        sysctl={"vm.overcommit_memory": mode, "vm.overcommit_ratio": 50}, version=version, image="none",
    ).exit()  # fmt: skip


@pytest.mark.parametrize("version", ["4.4", "6.1"])
@pytest.mark.parametrize(("mode", "fits", "too_much"), [(0, RAM_MIB + 16, RAM_MIB + SWAP_MIB + 8), (2, SWAP_MIB + 4, SWAP_MIB + 9)])
def test_room_is_memory_and_swap(version: str, mode: int, fits: int, too_much: int) -> None:
    """Mode 2: half of at most 16 MiB, and 32 MiB of swap."""
    assert outcome(fits, mode, version) == "done"
    assert outcome(too_much, mode, version) == "mmap: ENOMEM"
