"""/proc/pressure (kernel/sched/psi.c): totals are what the ledger says, averages are the kernel's, the text is the kernel's."""

from __future__ import annotations

import math
import re

import pytest
from scenario import mmap, run, scenario, start, sweep

from vmsim.machine.build import build
from vmsim.machine.pressure import PERIOD_NS, Pressure
from vmsim.machine.task import BLOCKED, DEAD, QUEUED, RUNNING, Task
from vmsim.spec.experiment import OutputsSpec
from vmsim.struct.tasks import WAIT_PAGE, WAIT_TIMER

LINE = re.compile(r"(some|full) avg10=(\d+\.\d\d) avg60=(\d+\.\d\d) avg300=(\d+\.\d\d) total=(\d+)\n")
DISK = {"sda": {"type": "sata-ssd", "size": "256 MiB", "latency": {"type": "constant"}}}
SHOW = {"show": ["pressure/cpu", "pressure/memory", "pressure/io"]}
S = 10**9


class Tables:
    """What Pressure reads of a kernel: no kswapd, nobody in reclaim, no page of a working set."""

    def __init__(self):
        import numpy as np

        self.node, self.task = np.zeros(48, np.int64), np.zeros((8, 96), np.int64)
        self.frame, self.task_led = np.zeros((8, 16), np.int64), np.zeros((8, 32), np.int64)


def shown(outcome):
    """The texts of the last `show` step, read: totals in us and averages by resource and line."""
    found = {}
    for text in outcome.built.shown:
        for name, avg10, avg60, avg300, total in LINE.findall(text.text):
            found[text.file.removeprefix("pressure/"), name] = (int(total), float(avg10), float(avg60), float(avg300))
    return found


class TestText:
    def test_nothing_happened(self):
        outcome = run([SHOW], version="6.1")
        text = {each.file: each.text for each in outcome.built.shown}
        zero = "avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
        assert text["pressure/io"] == text["pressure/memory"] == f"some {zero}full {zero}"

    def test_4_4_does_not_have_it(self):
        """It came with 4.20."""
        assert [each.text for each in run([SHOW], version="4.4").built.shown] == ["", "", ""]

    def test_it_is_measured_only_where_it_is_asked_for(self):
        built = start([], version="6.1")
        with pytest.raises(KeyError, match="measures pressure only if"):
            built.proc.read("pressure/io")


class TestTotals:
    def test_io_of_one_task_is_its_read_wait(self):
        """A task alone on a CPU: while it waits for a read it is held up, and nobody gets on."""
        reads = [{"fadvise": {"file": "data", "advice": "RANDOM"}}, mmap("4 MiB", file="data", prot=["PROT_READ"]),
                 sweep(count=1024), SHOW]  # fmt: skip
        outcome = run(reads, version="6.1", files={"data": {"size": "4 MiB"}}, devices=DISK)
        found = shown(outcome)
        assert found["io", "some"][0] == found["io", "full"][0]
        assert found["io", "some"][0] == pytest.approx(outcome.ledger("read_wait") / 1000, rel=0.05)  # interrupts are work
        assert found["memory", "some"][0] == 0

    def test_io_of_two_tasks_overlaps(self):
        """With another program on the CPU all the time, I/O is never full; some is what the reader waits."""
        reader = [mmap("4 MiB", file="data", prot=["PROT_READ"]), {"madvise": {"addr": "m", "length": "4 MiB", "advice": "RANDOM"}},
                  sweep(count=1024), SHOW]  # fmt: skip
        tasks = [{"name": "reader", "program": reader}, {"name": "busy", "program": [{"compute": "3 s"}]}]
        outcome = run(tasks=tasks, version="6.1", files={"data": {"size": "4 MiB"}}, devices=DISK)
        found = shown(outcome)
        assert found["io", "full"][0] <= 10
        assert found["io", "some"][0] == pytest.approx(outcome.ledger("read_wait") / 1000, rel=0.05)

    def test_cpu_of_two_tasks_is_their_run_queue(self):
        """Two programs that compute on one CPU: one of them always waits, so some is all of the time."""
        tasks = [{"name": "a", "program": [{"compute": "5 s"}, SHOW]}, {"name": "b", "program": [{"compute": "5 s"}]}]
        outcome = run(tasks=tasks, version="6.1")
        total = shown(outcome)["cpu", "some"][0]
        assert total == pytest.approx(outcome.built.shown[0].t_ns / 1000, rel=0.01)

    def test_swapping_is_memory_pressure(self):
        """A working set that does not fit: pages come back from swap that had been active, and reclaim takes time."""
        steps = [mmap("36 MiB"), *(sweep(count=9216, op="write") for _ in range(3)), SHOW]
        outcome = run(steps, version="6.1", ram="32 MiB", swap={"device": "sda", "size": "64 MiB"}, devices=DISK)
        found = shown(outcome)
        assert found["io", "some"][0] == pytest.approx(outcome.ledger("swap_wait") / 1000, rel=0.001)
        assert outcome.ledger("reclaim") / 1000 < found["memory", "some"][0] < found["io", "some"][0]
        assert found["memory", "some"][0] >= found["memory", "full"][0] > 0
        assert found["io", "some"][0] >= found["io", "full"][0]

    def test_series(self):
        """The totals over time never fall, and end where /proc/pressure does."""
        names = ["psi_io_some", "psi_memory_some"]
        outputs = OutputsSpec.model_validate({"series": {"interval": "10 ms", "counters": names}})
        reads = [mmap("4 MiB", file="data", prot=["PROT_READ"]), sweep(count=1024), SHOW]
        built = build(scenario(reads, version="6.1", files={"data": {"size": "4 MiB"}}, devices=DISK), outputs=outputs)
        built.machine.run()
        values = built.machine.series.column("psi_io_some")
        assert values == sorted(values)
        assert f"total={values[-1]}\n" in built.proc.read("pressure/io")


class TestAverages:
    def pressure(self, stalled_share=1.0, periods=30, cpus=1):
        """A task that waits for I/O in that share of each period and runs in the rest."""
        pressure = Pressure(Tables(), cpus)
        task = Task(1, "t")
        for period in range(periods):
            now = period * PERIOD_NS
            task.state = BLOCKED
            pressure.changed(task, now, WAIT_PAGE, 0)
            if stalled_share < 1:
                task.state = RUNNING
                pressure.changed(task, now + round(stalled_share * PERIOD_NS))
        return pressure, periods * PERIOD_NS

    @pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
    @pytest.mark.parametrize("periods", [1, 5, 30, 200])
    def test_exponential_decay(self, share, periods):
        """After n periods of 2 s the average is share (1 - e^n), e = exp(-2 / T) rounded to 11 bits. Each step rounds by less than a
        2048th, so that all together are less than 1 / (1 - e) of them: 0.07 per cent for T = 300 s. Two digits are shown.
        """
        pressure, now = self.pressure(share, periods)
        line = LINE.match(pressure.text("io", now))
        for seconds, average in zip((10, 60, 300), line.groups()[1:4], strict=True):
            e = round(2048 * math.exp(-2 / seconds)) / 2048
            assert float(average) == pytest.approx(100 * share * (1 - e**periods), abs=0.09)

    def test_exact_steps(self):
        """By hand: 100 % for one period is (100 << 11) * (2048 - 1677) / 2048, rounded up: 37101, shown as 18.11."""
        pressure, now = self.pressure(1.0, 1)
        assert "some avg10=18.11 avg60=3.27 avg300=0.68 total=2004000\n" in pressure.text("io", now)

    def test_decays_when_nothing_happens(self):
        pressure, now = self.pressure(1.0, 30)
        before = float(LINE.match(pressure.text("io", now)).group(2))
        task = Task(1, "t")
        task.state = DEAD
        pressure.changed(task, now)
        after = float(LINE.match(pressure.text("io", now + 5 * PERIOD_NS)).group(2))
        assert after == pytest.approx(before * math.exp(-1), rel=0.01)

    def test_full_needs_everybody(self):
        pressure = Pressure(Tables(), 1)
        tasks = [Task(1, "a"), Task(2, "b")]
        tasks[0].state, tasks[1].state = BLOCKED, RUNNING
        pressure.changed(tasks[0], 0, WAIT_PAGE, 0)
        pressure.changed(tasks[1], 0)
        tasks[1].state = BLOCKED
        pressure.changed(tasks[1], S // 4, WAIT_TIMER, 1)
        text = pressure.text("io", S)
        assert re.findall(r"total=(\d+)", text) == ["1000000", "750000"]

    def test_cpus_are_weighed_by_their_work(self):
        """collect_percpu_times: CPU 0 stalls all of a second, CPU 1 works for a third of it: (1 s * 1 + 0 * 1/3) / (4/3) = 0.75 s."""
        pressure = Pressure(Tables(), 2)
        stalled, working = Task(1, "a"), Task(2, "b")
        stalled.state, working.state, working.cpu = BLOCKED, RUNNING, 1
        pressure.changed(stalled, 0, WAIT_PAGE, 0)
        pressure.changed(working, 0)
        working.state = BLOCKED
        pressure.changed(working, S // 3, WAIT_TIMER, 1)
        assert re.findall(r"total=(\d+)", pressure.text("io", S)) == ["750000", "750000"]

    def test_waiting_for_a_cpu(self):
        pressure = Pressure(Tables(), 1)
        running, queued = Task(1, "a"), Task(2, "b")
        running.state, queued.state = RUNNING, QUEUED
        pressure.changed(running, 0)
        pressure.changed(queued, S // 2)
        assert re.findall(r"total=(\d+)", pressure.text("cpu", S)) == ["500000", "0"]
