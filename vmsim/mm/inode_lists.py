"""The lists of files with dirty pages that each device's flusher works through.   Follows fs/fs-writeback.c of v4.4 (E.7).

b_dirty is ordered by when a file got its first dirty page; files move from there to b_io, and those that used up their share to
b_more_io.  A file says itself which list it is on and at which place: files are few, so a list is walked by looking at all of them.
"""

from vmsim.mm.resched import now_ns
from vmsim.struct.files import FI_DEVICE, FI_DIRTIED_WHEN, FI_WB_LIST, FI_WB_SEQ
from vmsim.struct.jit import compiled
from vmsim.struct.kernel import SC_FILE_NEXT, SC_WAKE, SYS_DIRTY_WRITEBACK_CENTISECS
from vmsim.struct.writeback import (
    BD_NR_FILES,
    BD_SEQ,
    BD_TID,
    BD_TIMER,
    DAEMON_FLUSHER,
    WB_DIRTY,
    WB_IO,
    WB_MORE_IO,
    WB_NONE,
)
from vmsim.units import NS_PER_MS

NS_PER_CENTISEC = 10 * NS_PER_MS


@compiled
def wake_flusher(k, device):
    """Let a device's flusher look for work (wb_wakeup)."""
    if k.bdi[device, BD_TID] != 0:
        k.sc[SC_WAKE] |= 1 << (DAEMON_FLUSHER + device)


@compiled
def put_on_list(k, file, which):
    """Move a file to the end of one of its device's lists, or off all of them (WB_NONE)."""
    device = k.file[file, FI_DEVICE]
    if (k.file[file, FI_WB_LIST] == WB_NONE) != (which == WB_NONE):
        k.bdi[device, BD_NR_FILES] += 1 if which != WB_NONE else -1
    k.file[file, FI_WB_LIST] = which
    k.bdi[device, BD_SEQ] += 1
    k.file[file, FI_WB_SEQ] = k.bdi[device, BD_SEQ]


@compiled
def set_timer(k, device):
    """The flusher is to look for work in dirty_writeback_centisecs, if that is not 0 (wb_wakeup_delayed)."""
    interval = k.sysctl[SYS_DIRTY_WRITEBACK_CENTISECS] * NS_PER_CENTISEC
    k.bdi[device, BD_TIMER] = now_ns(k) + interval if interval > 0 else 0


@compiled
def mark_inode_dirty(k, file):
    """A page of a file became dirty; the first one puts it on b_dirty, and the device's first file sets the flusher's timer."""
    if k.file[file, FI_WB_LIST] != WB_NONE:
        return
    device = k.file[file, FI_DEVICE]
    first = k.bdi[device, BD_NR_FILES] == 0
    k.file[file, FI_DIRTIED_WHEN] = now_ns(k)
    put_on_list(k, file, WB_DIRTY)
    if first and k.bdi[device, BD_TIMER] == 0:
        set_timer(k, device)
        wake_flusher(k, device)  # only so that it sleeps until then


@compiled
def redirty_tail(k, file):
    """A file goes back to the end of b_dirty, as if it had become dirty now."""
    k.file[file, FI_DIRTIED_WHEN] = now_ns(k)
    put_on_list(k, file, WB_DIRTY)


@compiled
def next_file(k, device, which):
    """The file that comes first on a device's list, 0 if that is empty."""
    found = 0
    if k.bdi[device, BD_NR_FILES] == 0:
        return 0
    for file in range(1, k.sc[SC_FILE_NEXT] + 1):
        if k.file[file, FI_WB_LIST] == which and k.file[file, FI_DEVICE] == device:
            if found == 0 or k.file[file, FI_WB_SEQ] < k.file[found, FI_WB_SEQ]:
                found = file
    return found


@compiled
def queue_io(k, device, older):
    """b_more_io, then the files of b_dirty that became dirty up to `older`, are to be written next (queue_io)."""
    for which in (WB_MORE_IO, WB_DIRTY):
        while True:
            file = next_file(k, device, which)
            if file == 0 or which == WB_DIRTY and k.file[file, FI_DIRTIED_WHEN] > older:
                break
            put_on_list(k, file, WB_IO)
