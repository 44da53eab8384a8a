"""What programs and the kernel do with failed transfers and stalled devices (B.1, B.7, D.3, E.1, E.5)."""

from __future__ import annotations

import pytest
from scenario import PAGE, Outcome, finish, mmap, run, scenario, start, sweep

from vmsim.errors import SpecError
from vmsim.struct.files import FI_WB_ERROR

MIB = 1 << 20
SWAP_AT = 64 * MIB  # the area lies at the end of its device
CONSTANT = {"type": "constant"}


def disk(**faults):
    return {"sda": {"type": "sata-ssd", "size": "128 MiB", "latency": CONSTANT, **faults}}


def swapping(program, **given):
    """A program on 32 MiB of RAM with 64 MiB of swap."""
    return run(program, ram="32 MiB", swap={"device": "sda", "size": "64 MiB"}, **given)


FILL = [mmap("36 MiB"), sweep(count=9216, op="write")]


class TestSwap:
    def test_page_that_cannot_be_read_back_is_sigbus(self):
        """B.7: not up to date after the I/O is SIGBUS, and the page stays in the swap cache: it is not read again."""
        handler = {"on_signal": {"signal": "SIGBUS", "as": "at", "steps": [{"set": {"n": "n + 1"}}, {"if": {"cond": "n == 3", "then": [
            {"mmap": {"addr": "at", "length": PAGE, "flags": ["MAP_PRIVATE", "MAP_ANONYMOUS", "MAP_FIXED"]}}]}}]}}  # fmt: skip
        outcome = swapping(
            [handler, *FILL, {"touch": {"addr": "m"}}], vars={"n": 0}, devices=disk(errors=[{"on": "read"}]), sysctl={"vm.page-cluster": 0}
        )
        assert outcome.exit() == "done"
        assert outcome.register("n") == 3
        assert outcome.register("at") == outcome.register("m")
        assert outcome.vmstat("pswpin") == 1
        assert outcome.built.machine.devices[0].stat.reads.errors == 1

    def test_without_a_handler_it_kills(self):
        outcome = swapping([*FILL, {"touch": {"addr": "m"}}], devices=disk(errors=[{"on": "read", "at": SWAP_AT}]))
        assert outcome.exit() == "SIGBUS"
        log = outcome.built.dmesg.text()
        assert "] blk_update_request: I/O error, dev sda, sector " in log
        assert "] Read-error on swap-device (8:0:" in log

    def test_reads_that_fail_before_the_area_do_no_harm(self):
        outcome = swapping([*FILL, {"touch": {"addr": "m"}}], devices=disk(errors=[{"at": 0, "length": SWAP_AT}]))
        assert outcome.exit() == "done"
        assert outcome.vmstat("pswpin") > 0

    def test_pages_that_cannot_be_written_stay(self):
        """end_swap_bio_write: such a page is dirty again; it is written once more when reclaim comes by, and nothing is lost."""
        outcome = swapping([*FILL, sweep(count=9216)], devices=disk(errors=[{"on": "write", "rate": 0.2}]))
        assert outcome.exit() == "done"
        stat = outcome.built.machine.devices[0].stat.writes
        assert 0.1 < stat.errors / stat.bios < 0.3
        assert "Write-error on swap-device (8:0:" in outcome.built.dmesg.text()

    def test_where_no_write_succeeds_memory_runs_out(self):
        outcome = swapping(FILL, devices=disk(errors=[{"on": "write"}]))
        assert outcome.exit() == "SIGKILL"
        assert outcome.vmstat("pswpin") == 0

    def test_from_a_time_on(self):
        """Nothing fails before; the first error is not before either."""
        healthy = swapping(FILL, devices=disk())
        middle = healthy.ending.now_ns // 2
        outcome = swapping(FILL, devices=disk(errors=[{"from": f"{middle} ns", "for": "1 h"}]))
        first = outcome.built.dmesg.lines[0]
        assert float(first[1 : first.index("]")]) * 10**9 >= middle - 1000

    def test_full_swap_is_an_oom_kill(self):
        """Overcommit lets it map; when no slot is left, no page can leave and somebody dies."""
        outcome = run([mmap("120 MiB"), sweep(count=30720, op="write")], ram="32 MiB", swap={"device": "sda", "size": "8 MiB"},
                      devices=disk(), sysctl={"vm.overcommit_memory": 1})  # fmt: skip
        assert outcome.exit() == "SIGKILL"
        assert "Free swap  = 0kB" in outcome.built.dmesg.text()


class TestOvercommit:
    """A.13: free swap counts in the heuristic, all swap in CommitLimit; a 6.1 heuristic asks for memory and swap together."""

    @pytest.mark.parametrize(("version", "length", "end"), [
        ("4.4", "80 MiB", "done"), ("4.4", "100 MiB", "mmap: ENOMEM"), ("6.1", "92 MiB", "done"), ("6.1", "97 MiB", "mmap: ENOMEM"),
    ])  # fmt: skip
    def test_heuristic(self, version, length, end):
        outcome = swapping([mmap(length)], version=version, devices=disk())
        assert outcome.exit() == end

    @pytest.mark.parametrize(("length", "end"), [("70 MiB", "done"), ("79 MiB", "mmap: ENOMEM")])
    def test_strict(self, length, end):
        """CommitLimit is half of RAM and the swap: 14.3 MiB (of 28.6 that the kernel leaves of 32) and 64 MiB."""
        outcome = swapping([mmap(length)], devices=disk(), sysctl={"vm.overcommit_memory": 2})
        assert outcome.exit() == end


class TestFiles:
    def test_read_returns_eio(self):
        """E.1: the window fails, the page alone fails: EIO. A read that has some bytes already returns these."""
        bad = [{"on": "read", "at": 8 * PAGE, "length": PAGE}]
        steps = [
            {"pread": {"file": "data", "offset": 8 * PAGE, "length": PAGE, "as": "no", "expect": "EIO"}},
            {"pread": {"file": "data", "offset": 6 * PAGE, "length": 4 * PAGE, "as": "two"}},
        ]
        outcome = run(steps, files={"data": {"size": 64 * PAGE}}, devices=disk(errors=bad))
        assert outcome.exit() == "done"
        assert outcome.register("two") == 2 * PAGE

    def test_fsync_reports_a_failed_write_once(self):
        """AS_EIO is told once and forgotten; the page is clean and its content in memory all the same."""
        steps = [
            {"write": {"file": "data", "length": "64 KiB"}},
            {"fsync": {"file": "data", "expect": "EIO"}},
            {"fsync": "data"},
            {"pread": {"file": "data", "offset": 0, "length": "64 KiB", "as": "n"}},
        ]
        outcome = run(steps, files={"data": {"size": 0}}, devices=disk(errors=[{"on": "write"}]))
        assert outcome.exit() == "done"
        assert outcome.register("n") == 65536
        assert (outcome.vmstat("nr_dirty"), outcome.vmstat("nr_writeback")) == (0, 0)

    def test_a_flusher_keeps_the_error_for_fsync(self):
        steps = [{"write": {"file": "data", "length": "64 KiB"}}, {"sleep": "40 s"}]
        outcome = run(steps, files={"data": {"size": 0}}, devices=disk(errors=[{"on": "write"}]))
        assert outcome.vmstat("nr_dirty") == 0
        assert outcome.built.kernel.file[outcome.built.file_ids["data"], FI_WB_ERROR] == 1

    def test_bytes_of_another_file_are_untouched(self):
        """Files lie one after the other from the start of their device on."""
        bad = [{"on": "read", "at": "1 MiB", "length": "1 MiB"}]
        files = {"first": {"size": "1 MiB"}, "second": {"size": "1 MiB"}}
        for file, end in (("first", "done"), ("second", "pread: EIO")):
            outcome = run([{"pread": {"file": file, "offset": 0, "length": "1 MiB"}}], files=files, devices=disk(errors=bad))
            assert outcome.exit() == end


class TestStalls:
    READ = ({"pread": {"file": "data", "offset": 0, "length": PAGE}},)

    def read(self, **faults) -> Outcome:
        return run(self.READ, files={"data": {"size": PAGE}}, devices=disk(**faults))

    def test_what_the_device_holds_is_done_later_by_the_stall(self):
        plain = self.read().ending.now_ns
        for begin in (10_000, 100_000):
            assert self.read(stalls=[{"from": f"{begin} ns", "for": "5 ms"}]).ending.now_ns == plain + 5_000_000
        assert self.read(stalls=[{"from": "10 us", "for": "1 ms"}, {"from": "1100 us", "for": "1 ms"}]).ending.now_ns == plain + 2_000_000
        assert self.read(stalls=[{"from": f"{plain} ns", "for": "5 ms"}]).ending.now_ns == plain

    def test_what_comes_in_a_stall_begins_at_its_end(self):
        plain, stalled = self.read(), self.read(stalls=[{"from": 0, "for": "5 ms"}])
        service, latency = (outcome.built.machine.devices[0].stat.reads.latency_ns for outcome in (plain, stalled))
        arrival = plain.built.machine.tasks[1].slept_ns
        assert latency == 5_000_000 - arrival + service

    def test_a_stall_without_an_end_is_told(self):
        built = start(self.READ, files={"data": {"size": PAGE}}, devices=disk(stalls=[{"from": 0}]))
        outcome = finish(built)
        assert outcome.ending.stuck
        report = outcome.ending.report()
        assert "task task/1: waits for frame" in report
        assert "device sda: 1 requests in service without an end, 0 queued" in report

    def test_swap_that_never_answers_is_an_oom_kill(self):
        """C.10: all pages are being written, and six rounds over them free none."""
        outcome = swapping(FILL, devices=disk(stalls=[{"from": 0}]), rules={"throttle_vm_writeout": False})
        assert outcome.exit() == "SIGKILL"
        assert outcome.built.machine.devices[0].stat.writes.requests == 0

    def test_reclaimers_wait_for_ever_where_too_much_is_being_written(self):
        """C.8: who reclaims waits until less is under writeback than a tenth above the dirty limit, which here doesn't come."""
        outcome = finish(start(FILL, ram="32 MiB", swap={"device": "sda", "size": "64 MiB"}, devices=disk(stalls=[{"from": 0}])))
        assert outcome.ending.stuck
        assert "waits for less writeback" in outcome.ending.report()


def test_errors_are_those_of_the_seed():
    def errors(seed):
        return run(FILL, seed=seed, ram="32 MiB", swap={"device": "sda", "size": "64 MiB"},
                   devices=disk(errors=[{"on": "write", "rate": 0.1}])).built.dmesg.lines  # fmt: skip

    assert errors(1) == errors(1)
    assert errors(1) != errors(2)


@pytest.mark.parametrize(("faults", "message"), [
    ({"errors": [{"on": "reed"}]}, "no direction 'reed'; did you mean 'read'"),
    ({"errors": [{"at": "127 MiB", "length": "2 MiB"}]}, "of a device of 128 MiB"),
    ({"errors": [{"rate": 1.5}]}, "a share more than 0 up to 1"),
    ({"stalls": [{"from": "1 s", "for": "2 s"}, {"from": "2 s"}]}, "stalls that end before the next begins"),
    ({"stalls": [{"from": "1 s"}, {"from": "2 s"}]}, "stalls that end before the next begins"),
])  # fmt: skip
def test_mistakes(faults, message):
    with pytest.raises((SpecError, ValueError), match=message):
        scenario(devices=disk(**faults))
