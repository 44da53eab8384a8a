"""Results tell who freed whose pages, what each device did, and memory over time; nothing is counted twice or left out."""

from __future__ import annotations

from typing import Any

import pytest

from vmsim.experiment.record import RunResult
from vmsim.experiment.run import run_one
from vmsim.report.show import run_text
from vmsim.spec.load import make_experiment

PAGES = 1600  # of a machine of 2048
DISK = {"type": "sata-ssd", "latency": {"type": "constant"}}


def outcome(tasks: list[dict[str, Any]], **given: Any) -> RunResult:
    experiment = make_experiment(
        {
            "title": "Pressure",
            "machine": {"ram": "8 MiB", "cpus": 2, "devices": {"sda": DISK}, "swap": {"device": "sda", "size": "64 MiB"}},
            "tasks": tasks,
            **given,
        }
    )
    return run_one(experiment.runs[0], 0, seed=1, outputs=experiment.outputs)


def writer(name: str, pages: int, *more: dict[str, Any], **given: Any) -> dict[str, Any]:
    fill = {"access": {"region": "m", "pattern": {"type": "sequential"}, "count": pages, "op": "write"}}
    return {"name": name, "image": "none", "program": [{"mmap": {"length": pages * 4096, "as": "m"}}, fill, *more], **given}


@pytest.fixture(scope="module", params=["4.4", "6.1"])
def two_tasks(request: pytest.FixtureRequest) -> RunResult:
    """A task that fills most of memory and sleeps, one that then needs as much, and reads a file."""
    reader = {
        "name": "reader",
        "image": "none",
        "start": "1 ms",
        "program": [{"loop": {"count": 400, "steps": [{"read": {"file": "book", "length": "4 KiB"}}]}}],
    }
    return outcome(
        [writer("idle", PAGES, {"sleep": "3 s"}), writer("busy", PAGES, start="100 ms"), reader],
        kernel={"version": request.param},
        files={"book": {"size": "1600 KiB"}},
        outputs={"series": {"interval": "1 ms", "counters": ["memory", "paging", "sda.in_flight", "sda.read_kb", "sda.io_ticks"]}},
    )


def counted(result: RunResult, what: str) -> int:
    return sum(value for name, value in result.vmstat.items() if name.startswith(what))


def test_every_page_freed_by_reclaim_has_a_reclaimer_and_an_owner(two_tasks: RunResult) -> None:
    """Conservation: kswapd's are pgsteal_kswapd, the others' pgsteal_direct."""
    by_kswapd = sum(freed.pages for freed in two_tasks.reclaim if freed.by == "kswapd0")
    others = sum(freed.pages for freed in two_tasks.reclaim if freed.by != "kswapd0")
    assert by_kswapd == counted(two_tasks, "pgsteal_kswapd") > 0
    assert others == counted(two_tasks, "pgsteal_direct")
    assert not counted(two_tasks, "pgsteal_direct") or others


def test_the_idle_task_and_the_read_file_are_the_victims(two_tasks: RunResult) -> None:
    """The idle task's pages are the oldest. The file's were used once: reclaim takes those before it swaps."""
    of = {(freed.kind, freed.of): 0 for freed in two_tasks.reclaim}
    for freed in two_tasks.reclaim:
        of[freed.kind, freed.of] += freed.pages
    assert of["task", "idle"] > of.get(("task", "busy"), 0)
    assert of["file", "book"] > 0
    assert set(of) <= {("task", "idle"), ("task", "busy"), ("file", "book"), ("nobody", "")}


def test_a_machine_without_pressure_reclaims_nothing() -> None:
    assert outcome([writer("small", 100)]).reclaim == ()


def test_devices_count_what_vmstat_counts(two_tasks: RunResult) -> None:
    """pgpgin and pgpgout are the kB that went through the devices."""
    moved = {done.direction: done.nbytes // 1024 for done in two_tasks.devices}
    assert moved["read"] == two_tasks.vmstat["pgpgin"]
    assert moved["write"] == two_tasks.vmstat["pgpgout"]
    for done in two_tasks.devices:
        assert sum(done.count) == done.requests <= done.bios
        assert done.busy_ns <= two_tasks.sim_ns
        assert done.service_ns <= done.latency_ns <= done.requests * done.latency_max_ns


def test_series_of_swap_and_devices(two_tasks: RunResult) -> None:
    """Frames are free, on a list or a table's; what is missing from swap is in use there; counters of devices never fall."""
    series = {kept.counter: kept.value for kept in two_tasks.series}
    assert series["SwapFree"][0] == (64 << 10) - 4  # the header takes a page
    assert min(series["SwapFree"]) < series["SwapFree"][0]
    assert list(series["sda.read_kb"]) == sorted(series["sda.read_kb"])
    assert series["sda.read_kb"][-1] == two_tasks.vmstat["pgpgin"]
    assert max(series["sda.in_flight"]) >= 1
    assert series["sda.io_ticks"][-1] <= two_tasks.sim_ns // 1_000_000


def test_proc_at_any_simulated_time() -> None:
    """A second task shows files of /proc each 20 ms; swaps says what SwapFree of meminfo says."""
    watcher = {
        "name": "watch",
        "image": "none",
        "program": [{"loop": {"count": 3, "steps": [{"show": ["swaps", "zoneinfo", "vmstat", "meminfo"]}, {"sleep": "20 ms"}]}}],
    }
    result = outcome([writer("big", 2400, {"sleep": "100 ms"}), watcher])
    texts = {(kept.file, kept.t_ns): kept.text for kept in result.proc}
    times = sorted({kept.t_ns for kept in result.proc})
    assert len(times) == 3
    used = []
    for now in times:
        words = texts["swaps", now].splitlines()[1].split()
        free = next(int(line.split()[1]) for line in texts["meminfo", now].splitlines() if line.startswith("SwapFree"))
        assert int(words[2]) - int(words[3]) == free
        used.append(int(words[3]))
        zones = sum(int(line.split()[2]) for line in texts["zoneinfo", now].splitlines() if line.strip().startswith("pages free"))
        machine = next(int(line.split()[1]) for line in texts["vmstat", now].splitlines() if line.startswith("nr_free_pages "))
        assert zones == machine
    assert used[0] == 0 < used[-1]


def test_show_tells_all_of_it(two_tasks: RunResult) -> None:
    text = run_text(two_tasks)
    assert "pages reclaimed by" in text and "of file book" in text
    assert "latency of accesses" in text and "p99.99" in text
    assert any(line.split()[:2] == ["sda", "read"] for line in text.splitlines())
