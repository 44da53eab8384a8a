"""Which pages of files are dirty: flag, tag and counters.   Follows mm/page-writeback.c (account_page_dirtied) of v4.4 (E.5)."""

from vmsim.mm.inode_lists import mark_inode_dirty
from vmsim.mm.tags import tag_clear, tag_set
from vmsim.struct.costs import C_DIRTY_PAGE
from vmsim.struct.files import FI_CACHE, FI_DEVICE, FI_KIND, FI_NRDIRTY, FILE_REGULAR
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_CPU, SC_TASK
from vmsim.struct.ledger import L_FAULT
from vmsim.struct.pages import P_FLAGS, P_INDEX, P_MAPPING, PG_DIRTY
from vmsim.struct.tasks import T_NR_DIRTIED
from vmsim.struct.vmstat import NR_DIRTIED, NR_FILE_DIRTY
from vmsim.struct.writeback import BD_DIRTIED, BD_NRDIRTY, DOM_CPU_DIRTIED, DOM_CPUS, TAG_DIRTY


@compiled
def file_of_page(k, pfn):
    """The file on a device whose page a frame holds, 0 if it is no such page."""
    mapping = k.frame[pfn, P_MAPPING]
    if mapping >= 0 or k.file[-mapping - 1, FI_KIND] != FILE_REGULAR:
        return 0
    return -mapping - 1


@compiled
def set_page_dirty(k, pfn):
    """A page has new contents that its file, or swap, does not have yet; whether it was clean (set_page_dirty)."""
    if k.frame[pfn, P_FLAGS] & PG_DIRTY != 0:
        return False
    k.frame[pfn, P_FLAGS] |= PG_DIRTY
    file = file_of_page(k, pfn)
    if file != 0:
        _account_page_dirtied(k, file, pfn)
    return True


@compiled
def _account_page_dirtied(k, file, pfn):
    tag_set(k, TAG_DIRTY, k.file[file, FI_CACHE] + k.frame[pfn, P_INDEX])
    device = k.file[file, FI_DEVICE]
    k.led[L_FAULT] += k.cost[C_DIRTY_PAGE]
    k.file[file, FI_NRDIRTY] += 1
    k.vmstat[NR_FILE_DIRTY] += 1
    k.vmstat[NR_DIRTIED] += 1
    k.bdi[device, BD_NRDIRTY] += 1
    k.bdi[device, BD_DIRTIED] += 1
    k.task[k.sc[SC_TASK], T_NR_DIRTIED] += 1
    k.domain[DOM_CPU_DIRTIED + k.sc[SC_CPU] % DOM_CPUS] += 1
    mark_inode_dirty(k, file)


@compiled
def account_page_cleaned(k, file, pfn):
    """A file's page is no longer dirty: it is being written, or its contents don't matter any more."""
    tag_clear(k, TAG_DIRTY, k.file[file, FI_CACHE] + k.frame[pfn, P_INDEX])
    k.file[file, FI_NRDIRTY] -= 1
    k.vmstat[NR_FILE_DIRTY] -= 1
    k.bdi[k.file[file, FI_DEVICE], BD_NRDIRTY] -= 1
