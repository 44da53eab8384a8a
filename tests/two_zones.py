"""A kernel of two zones with empty lists and without a machine around it, for functions that look at counts only."""

from __future__ import annotations

from vmsim.arch.rules import rules_of
from vmsim.mm.boot import add_zone, finish_boot
from vmsim.struct.kernel import SC_NR_FRAMES, Kernel, table_rows


def make_kernel(version: str, cpus: int = 1) -> Kernel:
    """Two zones, [1, 11) and [11, 41), and the rules of a version."""
    kernel = Kernel(table_rows(frames=41, cpus=cpus, tasks=2, pcache=1, code=1, patterns=1, pattern_table=1))
    kernel.sc[SC_NR_FRAMES] = 41
    add_zone(kernel.k, 1, 11, 10)
    add_zone(kernel.k, 11, 41, 25)
    for rule, holds in enumerate(rules_of(version)):
        kernel.rule[rule] = holds
    finish_boot(kernel.k)
    return kernel
