"""A device's flusher step by step (E.7), in time that the test sets; and the limits that it works by (E.5, E.6)."""

from __future__ import annotations

import pytest
from shell import Shell

from vmsim.mm import balance, dirty_limits, fs_writeback
from vmsim.struct import files as f
from vmsim.struct import tasks as t
from vmsim.struct import writeback as w
from vmsim.struct.jit import entry
from vmsim.struct.kernel import SC_DEADLINE, SC_NOW
from vmsim.struct.vmstat import NR_FILE_DIRTY, NR_FREE_PAGES, NR_LRU_BASE

PAGE = 4096
SECOND = 1_000_000_000
FLUSHER = 2  # a row of `task` that no program uses
INACTIVE_FILE = NR_LRU_BASE + 2


@entry
def step(k, tid, device):
    return fs_writeback.wb_workfn_step(k, tid, device)


@entry
def wakeup_flusher_threads(k, pages):
    fs_writeback.wakeup_flusher_threads(k, pages)


@entry
def limits(k):
    dirty_limits.global_dirty_limits(k)


@entry
def ratio(k, device, share):
    return dirty_limits.position_ratio(k, device, share)


@entry
def balance_one(k, tid, device):
    return balance.balance_dirty_pages(k, tid, device)


class Rig(Shell):
    """A shell, and the flusher of its device."""

    def __init__(self, **given) -> None:
        super().__init__(files={"f": {"size": 0}, "g": {"size": 0}}, **given)

    def write(self, name: str, pages: int, at: int = 0) -> None:
        for page in range(at, at + pages):
            assert self.call("pwrite", self.fd(name), PAGE, page * PAGE) == PAGE

    def dirty(self, name: str) -> int:
        return int(self.kernel.file[self.built.file_ids[name], f.FI_NRDIRTY])

    def flush(self, seconds: float) -> int:
        """Let the flusher run at a time, devices being done at once; ns that it then sleeps (0: for ever)."""
        self.now = max(self.now, int(seconds * SECOND))
        self.kernel.sc[SC_NOW] = self.now
        self.kernel.sc[SC_DEADLINE] = 1 << 60
        self.kernel.led[:] = 0
        while True:
            reason = step(self.kernel.k, FLUSHER, 0)
            self.complete_reads()
            self.kernel.led[:] = 0
            if reason == t.SLICE_BLOCKED and self.kernel.task[FLUSHER, t.T_WAIT] == t.WAIT_EVENT:
                self.verify()
                return int(self.kernel.task[FLUSHER, t.T_WAIT_ARG])


def settle(rig: Rig) -> None:
    """Let the device have its share of the limits: it wrote before."""
    rig.kernel.bdi[0, w.BD_COMPLETIONS] = rig.kernel.domain[w.DOM_COMPLETIONS] = 1 << 40


def test_data_is_written_when_it_is_30_seconds_old() -> None:
    """dirty_expire 30 s, looked for every 5 s: dirtied at 1 s, still there at 30.9 s, gone with the first look after 31 s."""
    rig = Rig()
    settle(rig)
    rig.now = SECOND
    rig.write("f", 10)
    at = 1.0
    slept = rig.flush(at)
    assert slept == pytest.approx(5 * SECOND, rel=0.01)
    while at < 30:
        at += slept / SECOND
        slept = rig.flush(at)
        if at < 31:
            assert rig.dirty("f") == 10, at
    assert rig.dirty("f") == 0
    assert 31 <= at <= 36
    assert slept == 0  # nothing is dirty: no timer


def test_a_device_that_never_wrote_has_no_share() -> None:
    """wb_over_bg_thresh: its share of the background threshold is 0, so the first look of the flusher writes everything."""
    rig = Rig()
    rig.write("f", 10)
    assert rig.flush(0) > 0
    assert rig.dirty("f") == 10
    rig.flush(5.1)
    assert rig.dirty("f") == 0


def test_periodic_writing_can_be_off() -> None:
    rig = Rig(sysctl={"vm.dirty_writeback_centisecs": 0})
    rig.write("f", 10)
    assert rig.flush(100) == 0
    assert rig.dirty("f") == 10


def test_background_writing_stops_at_the_threshold() -> None:
    """Above the background threshold chunks of 4 MiB (1024 pages) at least are written, until below it."""
    rig = Rig(ram="128 MiB", sysctl={"vm.dirty_background_bytes": 4000 * PAGE, "vm.dirty_bytes": 12000 * PAGE})
    settle(rig)
    rig.write("f", 4500)
    assert rig.kernel.vmstat[NR_FILE_DIRTY] == 4500
    assert rig.kernel.bdi[0, w.BD_BACKGROUND] == 1  # balance_dirty_pages has called the flusher
    rig.flush(0)
    chunk = (min(12000 // 8, 25600 // 2) + 1024) // 1024 * 1024
    assert rig.kernel.vmstat[NR_FILE_DIRTY] == 4500 - chunk
    assert rig.kernel.file[1, f.FI_WB_LIST] == w.WB_MORE_IO


def test_files_take_turns() -> None:
    """A file that has used its share waits until the others had theirs."""
    rig = Rig(ram="128 MiB", sysctl={"vm.dirty_background_bytes": PAGE, "vm.dirty_bytes": 20000 * PAGE})
    settle(rig)
    rig.write("f", 6000)
    rig.write("g", 6000)
    order = []
    for _ in range(40):
        before = rig.dirty("f"), rig.dirty("g")
        rig.kernel.sc[SC_DEADLINE] = 1
        step(rig.kernel.k, FLUSHER, 0)
        rig.complete_reads()
        rig.kernel.led[:] = 0
        after = rig.dirty("f"), rig.dirty("g")
        order += ["f"] * (before[0] > after[0]) + ["g"] * (before[1] > after[1])
        if after == (0, 0):
            break
    assert "".join(order).find("gf") >= 0


def test_reclaim_asks_for_pages() -> None:
    """wakeup_flusher_threads(n): about n pages, in whole chunks, whatever their age."""
    rig = Rig(ram="128 MiB")
    settle(rig)
    rig.write("f", 3000)
    wakeup_flusher_threads(rig.kernel.k, 100)
    rig.flush(0)
    assert 0 < rig.dirty("f") < 3000
    wakeup_flusher_threads(rig.kernel.k, 0)
    rig.flush(0)
    assert rig.dirty("f") == 0


def test_thresholds_follow_free_memory() -> None:
    """Recorded: free -102,937 pages and file lists +100,092 changed nr_dirty_threshold by -569 and the background one by -284."""
    rig = Rig(ram="512 MiB")
    limits(rig.kernel.k)
    before = rig.kernel.domain[[w.DOM_THRESH, w.DOM_BG_THRESH]].copy()
    rig.kernel.vmstat[NR_FREE_PAGES] -= 102_937
    rig.kernel.vmstat[INACTIVE_FILE] += 99_989 + 103
    limits(rig.kernel.k)
    change = (rig.kernel.domain[[w.DOM_THRESH, w.DOM_BG_THRESH]] - before).tolist()
    assert abs(change[0] + 569) <= 1
    assert abs(change[1] + 284) <= 1


@pytest.mark.parametrize(("dirty", "expected"), [(15_000, 2048), (17_500, 1024), (20_000, 0), (25_000, 0), (16_250, 1152), (18_750, 896)])
def test_position_ratio(dirty: int, expected: int) -> None:
    """1 + ((setpoint - dirty) / (limit - setpoint))^3 in 1/1024: thresholds of 20,000 and 10,000 pages, setpoint 17,500.

    The device has all of the dirty pages and the whole share, and so slow a bandwidth that its own line (E.6) is that of the share.
    """
    rig = Rig(ram="256 MiB")
    rig.kernel.domain[[w.DOM_THRESH, w.DOM_BG_THRESH, w.DOM_DIRTY_LIMIT, w.DOM_DIRTY]] = 20_000, 10_000, 20_000, dirty
    rig.kernel.bdi[0, w.BD_NRDIRTY] = dirty
    rig.kernel.bdi[0, w.BD_AVG_WRITE_BW] = 10**9
    assert ratio(rig.kernel.k, 0, 20_000) == pytest.approx(expected, abs=3)
    rig.kernel.bdi[0, w.BD_NRDIRTY] = 0


def test_no_pause_below_the_middle_of_the_thresholds() -> None:
    """Freerun up to (thresh + bg) / 2: no pause, and the next look comes after 2^(log2(thresh - dirty) / 2) pages."""
    rig = Rig(ram="256 MiB", sysctl={"vm.dirty_bytes": 20_000 * PAGE, "vm.dirty_background_bytes": 10_000 * PAGE})
    rig.kernel.vmstat[NR_FILE_DIRTY] = 15_000
    rig.kernel.task[1, t.T_NR_DIRTIED] = 500
    assert not balance_one(rig.kernel.k, 1, 0)
    assert rig.kernel.task[1, t.T_NR_DIRTIED_PAUSE] == 1 << 12 // 2  # log2(5000) is 12
    rig.kernel.vmstat[NR_FILE_DIRTY] = 19_990
    rig.kernel.bdi[0, w.BD_NRDIRTY] = 19_990
    rig.kernel.task[1, t.T_NR_DIRTIED] = 5000
    assert balance_one(rig.kernel.k, 1, 0)
    assert 10_000_000 <= rig.kernel.task[1, t.T_WAIT_ARG] <= 200_000_000
