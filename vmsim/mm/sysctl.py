"""Settings that a running program writes.   Follows kernel/sysctl.c, mm/page-writeback.c and fs/drop_caches.c of v4.4 (section I)."""

from vmsim.mm.dirty_limits import writeback_set_ratelimit
from vmsim.mm.shrinker import drop_slab
from vmsim.mm.truncate import drop_pagecache
from vmsim.struct.errno import EINVAL
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import (
    SYS_DIRTY_BACKGROUND_BYTES,
    SYS_DIRTY_BACKGROUND_RATIO,
    SYS_DIRTY_BYTES,
    SYS_DIRTY_RATIO,
    SYS_DROP_CACHES,
    SYS_OVERCOMMIT_KBYTES,
    SYS_OVERCOMMIT_RATIO,
    SYS_SWAPPINESS,
)
from vmsim.struct.rules import R_SWAPPINESS_200
from vmsim.struct.vmstat import DROP_SLAB


@compiled
def sys_sysctl(k, number, value, lowest, highest):
    """Write one setting that has the range lowest..highest: 0 or -EINVAL. Of a pair that says the same, the one written last holds."""
    if value < lowest or value > highest or number == SYS_DIRTY_BYTES and value < 2 << 12:
        return -EINVAL
    if number == SYS_SWAPPINESS and value > 100 and k.rule[R_SWAPPINESS_200] == 0:
        return -EINVAL
    k.sysctl[number] = value
    if number == SYS_DROP_CACHES:
        if value & 1 != 0:
            drop_pagecache(k)
        if value & 2 != 0:
            drop_slab(k)
            k.vmstat[DROP_SLAB] += 1
    elif number == SYS_OVERCOMMIT_RATIO:
        k.sysctl[SYS_OVERCOMMIT_KBYTES] = 0
    elif number == SYS_OVERCOMMIT_KBYTES:
        k.sysctl[SYS_OVERCOMMIT_RATIO] = 0
    elif number == SYS_DIRTY_BYTES:
        k.sysctl[SYS_DIRTY_RATIO] = 0
        writeback_set_ratelimit(k)
    elif number == SYS_DIRTY_RATIO:
        k.sysctl[SYS_DIRTY_BYTES] = 0
        writeback_set_ratelimit(k)
    elif number == SYS_DIRTY_BACKGROUND_BYTES:
        k.sysctl[SYS_DIRTY_BACKGROUND_RATIO] = 0
    elif number == SYS_DIRTY_BACKGROUND_RATIO:
        k.sysctl[SYS_DIRTY_BACKGROUND_BYTES] = 0
    return 0
