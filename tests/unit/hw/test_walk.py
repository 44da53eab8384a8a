"""Finding leaf entries: any geometry, any hole on the way."""

from __future__ import annotations

import pytest
from mmu_rig import Rig, leaf_slot, leaf_table

from vmsim.arch.profile import get_profile, profile_names

GEOMETRIES = [(name, size) for name in profile_names() for size in get_profile(name).page_sizes]


@pytest.mark.parametrize(("name", "page_size"), GEOMETRIES)
def test_slot_of_first_and_last_page(name: str, page_size: int) -> None:
    """The first and last page of the user's addresses have the slots at which the rig wrote their entries."""
    rig = Rig(get_profile(name), page_size=page_size)
    last = rig.profile.page_tables[page_size].task_size // page_size - 1
    for vpn in (0, last):
        slot = rig.slot(1, vpn)
        assert leaf_slot(rig.k, 1, vpn) == slot
        assert leaf_table(rig.k, 1, vpn) == slot - 2 - vpn % (1 << rig.bits[-1])


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_absent_tables_give_zero(depth: int) -> None:
    """A table that is missing at any depth gives 0; a page whose neighbour in the same table is mapped has a slot."""
    rig = Rig(get_profile("x86_64"))
    assert leaf_slot(rig.k, 1, 5) == 0
    rig.slot(1, 0)
    other = 1 << sum(rig.bits[depth + 1 :])
    if depth < 3:
        assert leaf_slot(rig.k, 1, other) == leaf_table(rig.k, 1, other) == 0
    else:
        assert leaf_slot(rig.k, 1, other) == leaf_slot(rig.k, 1, 0) + 1
    assert leaf_slot(rig.k, 2, 0) == 0
