"""Several swap areas, swapon(2) and swapoff(2) (D.1, D.2; mm/swapfile.c of v4.4)."""

from __future__ import annotations

import re

import pytest
from scenario import PAGE, finish, mmap, run, scenario, start, sweep

from vmsim.errors import SpecError
from vmsim.machine.verify import verify
from vmsim.struct.reclaim import N_SWAP_CACHE, N_SWAP_FREE, N_SWAP_TOTAL
from vmsim.struct.swaps import SW_INUSE, SW_PRIO
from vmsim.struct.vmas import MM_ANONPAGES, MM_SWAPENTS

MIB = 1 << 20
DEVICES = {
    "sda": {"type": "sata-ssd", "size": "128 MiB", "latency": {"type": "constant"}},
    "sdb": {"type": "sata-ssd", "size": "128 MiB", "latency": {"type": "constant"}},
}
FILL = [mmap("34 MiB"), sweep(count=8704, op="write")]
ADMIN = ["CAP_SYS_ADMIN"]


def area(name, size="32 MiB", **given):
    return {"name": name, "device": "sda", "size": size, **given}


def swapping(program=FILL, *areas, **given):
    return run(program, ram="32 MiB", swaps=list(areas), devices=DEVICES, **given)


def in_use(outcome):
    return [int(row[SW_INUSE]) for row in outcome.built.kernel.swap[: len(outcome.built.assembly.swap_areas)]]


def priorities(outcome):
    return [int(row[SW_PRIO]) for row in outcome.built.kernel.swap[: len(outcome.built.assembly.swap_areas)]]


class TestPriorities:
    def test_the_highest_is_used_first(self):
        outcome = swapping(FILL, area("slow", priority=1), area("fast", priority=2, device="sdb"))
        used = in_use(outcome)
        assert used[0] == 0
        assert used[1] > 1000

    def test_what_does_not_fit_goes_to_the_next(self):
        """The small area is full to the last slot (4 MiB less the header) before the other gets any."""
        outcome = swapping(FILL, area("big", priority=1), area("small", "4 MiB", priority=5))
        assert in_use(outcome)[1] == 1023
        assert in_use(outcome)[0] > 0

    def test_equals_take_turns_page_by_page(self):
        """get_swap_page requeues the area at each page: no area has more than one page more than the others were given."""
        outcome = swapping(FILL, area("a", priority=7), area("b", priority=7, device="sdb"), area("c", priority=7), area("d", priority=3))
        a, b, c, d = in_use(outcome)
        assert min(a, b, c) > 300
        assert max(a, b, c) - min(a, b, c) <= 1
        assert d == 0

    @pytest.mark.parametrize(("version", "first"), [("4.4", -1), ("6.1", -2)])
    def test_those_without_one_come_in_their_order(self, version, first):
        """least_priority counts down from 0, since 4.14 from -1."""
        outcome = swapping([mmap(PAGE)], area("a"), area("b"), area("c", priority=0), version=version)
        assert priorities(outcome) == [first, first - 1, 0]

    def test_swapoff_moves_up_those_below(self):
        """swapoff of an area without a priority of its own: those after it get one more, and so does the counter."""
        steps = [{"swapoff": "b"}, {"swapon": "b"}]
        outcome = swapping(steps, area("a"), area("b"), area("c"), capabilities=ADMIN)
        assert priorities(outcome) == [-1, -3, -2]


class TestSwapon:
    def test_an_area_that_is_off_is_not_used(self):
        outcome = swapping(FILL, area("a"), area("b", priority=9, on=False))
        assert in_use(outcome)[1] == 0
        assert outcome.built.kernel.node[N_SWAP_TOTAL] == 8191

    def test_it_is_used_after_swapon(self):
        outcome = swapping([{"swapon": {"area": "b", "priority": 9}}, *FILL], area("a"), area("b", on=False), capabilities=ADMIN)
        assert outcome.exit() == "done"
        assert in_use(outcome)[0] == 0
        assert in_use(outcome)[1] > 1000
        assert outcome.built.kernel.node[N_SWAP_TOTAL] == 2 * 8191

    @pytest.mark.parametrize(("step", "error"), [
        ({"swapon": {"area": "off", "flags": 1 << 19}}, "EINVAL"), ({"swapon": {"area": "on"}}, "EBUSY"),
        ({"swapoff": {"area": "off"}}, "EINVAL"),
    ])  # fmt: skip
    def test_errors(self, step, error):
        name = next(iter(step))
        outcome = swapping([{name: {**step[name], "expect": error}}], area("on"), area("off", on=False), capabilities=ADMIN)
        assert outcome.exit() == "done"

    @pytest.mark.parametrize("step", ["swapon", "swapoff"])
    def test_without_the_capability(self, step):
        outcome = swapping([{step: {"area": "on", "expect": "EPERM"}}], area("on"))
        assert outcome.exit() == "done"


class TestSwapoff:
    def test_brings_every_page_back(self):
        """Touched again, no page needs the device: what was swapped out is mapped."""
        steps = [mmap("26 MiB"), sweep(count=6656, op="write"), mmap("8 MiB", "n"), sweep("n", count=2048, op="write"),
                 {"munmap": {"addr": "n", "length": "8 MiB"}}, {"swapoff": "a"}]  # fmt: skip
        outcome = swapping(steps, area("a"), capabilities=ADMIN)
        kernel = outcome.built.kernel
        assert outcome.exit() == "done"
        assert outcome.vmstat("pswpout") > 500
        assert outcome.vmstat("pswpin") > 500
        assert (kernel.node[N_SWAP_TOTAL], kernel.node[N_SWAP_FREE], kernel.node[N_SWAP_CACHE]) == (0, 0, 0)
        assert kernel.mm[1, MM_SWAPENTS] == 0
        assert kernel.mm[1, MM_ANONPAGES] >= 6656
        assert not kernel.swap_map.any()
        assert outcome.task(7) == 0  # nobody faulted for them

    def test_moves_pages_to_the_other_area(self):
        """There is no room in memory for them, so they are swapped out again, to the area that is left."""
        outcome = swapping([*FILL, {"swapoff": "a"}, sweep(count=8704)], area("a", priority=5), area("b", priority=1), capabilities=ADMIN)
        assert outcome.exit() == "done"
        used = in_use(outcome)
        assert used[0] == 0
        assert used[1] > 1000

    def test_memory_files_too(self):
        steps = [mmap("26 MiB", flags=["MAP_SHARED", "MAP_ANONYMOUS"]), sweep(count=6656, op="write"), mmap("8 MiB", "n"),
                 sweep("n", count=2048, op="write"), {"munmap": {"addr": "n", "length": "8 MiB"}}, {"swapoff": "a"}]  # fmt: skip
        outcome = swapping(steps, area("a"), capabilities=ADMIN)
        assert outcome.exit() == "done"
        assert outcome.vmstat("pswpin") > 500
        assert outcome.vmstat("nr_shmem") == 6656
        assert not outcome.built.kernel.swap_map.any()

    def test_with_others_at_work(self):
        """Two programs swap while a third switches the area off and on again, and again; the tables agree all the time."""
        work = [mmap("15 MiB"), sweep(count=3840, op="write"), sweep(count=3840), sweep(count=3840, op="write")]
        fork = [mmap("6 MiB"), sweep(count=1536, op="write"), {"fork": {"steps": [sweep(count=1536), sweep(count=800, op="write")]}},
                sweep(count=1536), {"wait": {}}]  # fmt: skip
        switch = [{"sleep": "20 ms"}, {"swapoff": "a"}, {"sleep": "5 ms"}, {"swapon": {"area": "a", "priority": 9}}]
        off = [{"loop": {"count": 3, "steps": switch}}]
        tasks = [
            {"name": "one", "program": work}, {"name": "two", "program": fork}, {"name": "root", "program": off, "capabilities": ADMIN},
        ]  # fmt: skip
        built = start(tasks=tasks, ram="32 MiB", swaps=[area("a", priority=9), area("b", priority=1)], devices=DEVICES)
        for when in range(5, 400, 5):
            built.machine.run(until_ns=when * 1_000_000)
            verify(built.kernel)
        outcome = finish(built)
        assert [outcome.exit(tid) for tid in (1, 2, 3)] == ["done"] * 3

    def test_commit_check(self):
        """D.2: in strict mode swap that is promised can't be taken away: ENOMEM, and the area stays in use."""
        steps = [mmap("30 MiB"), {"swapoff": {"area": "a", "expect": "ENOMEM"}}]
        outcome = swapping(steps, area("a"), capabilities=ADMIN, sysctl={"vm.overcommit_memory": 2})
        assert outcome.exit() == "done"
        assert outcome.built.kernel.node[N_SWAP_TOTAL] == 8191

    def test_where_there_is_no_room_swapoff_dies_first(self):
        """oom_task_origin: not the program with the most memory but the one that switches swap off; the area is in use again."""
        hog = [mmap("40 MiB"), sweep(count=10240, op="write"), {"sleep": "60 s"}]
        tasks = [{"name": "hog", "program": hog}, {"name": "root", "program": [{"sleep": "30 s"}, {"swapoff": "a"}], "capabilities": ADMIN}]
        outcome = run(tasks=tasks, ram="32 MiB", swaps=[area("a")], devices=DEVICES, sysctl={"vm.overcommit_memory": 1})
        assert outcome.exit(2) == "SIGKILL"
        assert outcome.exit(1) == "done"
        node = outcome.built.kernel.node
        assert node[N_SWAP_TOTAL] == 8191


def test_slots_that_only_the_swap_cache_holds_are_taken_over():
    """D.1: swap is small and more than half full; pages read back keep their slots, which scan_swap_map takes when it finds no other.

    A page that is only read stays in the swap cache; without taking over, the slots would be lost to it and the rest of memory
    could not be swapped: the program would be killed.
    """
    steps = [mmap("26 MiB"), sweep(count=6656, op="write"), sweep(count=6656), mmap("4 MiB", "n"), sweep("n", count=1024, op="write"),
             sweep(count=6656), sweep("n", count=1024)]  # fmt: skip
    outcome = swapping(steps, area("a", "12 MiB"))
    assert outcome.exit() == "done"


def test_proc_swaps():
    """The kernel's text: a partition, a file, an area that is off; sizes in kB without the header."""
    steps = [{"show": ["swaps", "meminfo"]}]
    areas = [area("a", "8 MiB", priority=5), area("b", "4 MiB", file=True, device="sdb"), area("c", "4 MiB", on=False)]
    outcome = swapping(steps, *areas)
    text = {shown.file: shown.text for shown in outcome.built.shown}
    assert text["swaps"] == (
        "Filename\t\t\t\tType\t\tSize\tUsed\tPriority\n"
        "/dev/sda1                               partition\t8188\t0\t5\n"
        "/swapfile1                              file\t\t4092\t0\t-1\n"
    )
    assert "SwapTotal:         12280 kB\nSwapFree:          12280 kB\n" in text["meminfo"]


def test_areas_are_named_by_their_devices():
    """disk_name of block/partition-generic.c: a disk whose name ends with a digit has a p before the number of a partition."""
    devices = {"nvme0n1": {"type": "nvme"}, "vdb": {"type": "sata-ssd"}}
    swaps = [{"name": name, "device": device, "size": "8 MiB"} for name, device in (("a", "nvme0n1"), ("b", "vdb"), ("c", "nvme0n1"))]
    outcome = run([{"show": ["swaps"]}], devices=devices, swaps=swaps)
    assert re.findall(r"^/\S+", outcome.built.shown[0].text, re.M) == ["/dev/nvme0n1p1", "/dev/vdb", "/dev/nvme0n1p2"]


@pytest.mark.parametrize(("machine", "program", "message"), [
    ({"swaps": [area("a"), area("a")]}, [], "two swap areas are called 'a'"),
    ({"swaps": [area("a", "100 MiB"), area("b", "100 MiB")]}, [], "200 MiB of swap on a device of 128 MiB"),
    ({"swaps": [area("a")], "swap": area("b")}, [], "either swap or swaps"),
])  # fmt: skip
def test_mistakes(machine, program, message):
    with pytest.raises((SpecError, ValueError), match=message):
        scenario(program, devices=DEVICES, **machine)
