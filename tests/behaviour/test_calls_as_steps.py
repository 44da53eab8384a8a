"""The calls on memory files, limits and the process as steps of a program: what a program can see of them."""

from __future__ import annotations

import pytest
from scenario import PAGE, ROOT, mmap, run

from vmsim.errors import VmsimError
from vmsim.struct.kernel import SYS_SWAPPINESS


def test_memfd_as_a_program_uses_it() -> None:
    """Create, size, map, write, punch a hole, unmap and close: no frame of it is left."""
    outcome = run(
        [
            {"memfd_create": {"as": "fd"}},
            {"ftruncate": {"fd": "fd", "length": "4 * PAGE_SIZE"}},
            mmap("4 * PAGE_SIZE", fd="fd", flags=["SHARED"]),
            {"access": {"region": "m", "length": "4 * PAGE_SIZE", "pattern": {"type": "sequential"}, "count": 4, "op": "write"}},
            {"madvise": {"addr": "m", "length": "PAGE_SIZE", "advice": "REMOVE"}},
            {"close": {"fd": "fd"}},
            {"munmap": {"addr": "m", "length": "4 * PAGE_SIZE"}},
            {"close": {"fd": "fd", "expect": "EBADF"}},
        ]
    )
    assert outcome.exit() == "done"
    assert outcome.vmstat("nr_shmem") == 0


def test_truncated_pages_are_sigbus() -> None:
    """A file that shrinks under a mapping: the access behind its end is SIGBUS."""
    outcome = run(
        [
            mmap("4 * PAGE_SIZE", file="data", flags=["SHARED"]),
            {"touch": {"addr": "m + 3 * PAGE_SIZE", "op": "write"}},
            {"ftruncate": {"file": "data", "length": "PAGE_SIZE"}},
            {"touch": "m"},
            {"touch": "m + 3 * PAGE_SIZE"},
        ],
        files={"data": {"size": "16 KiB", "cached": "all"}},
    )
    assert outcome.exit() == "SIGBUS"
    assert outcome.vmstat("nr_dirty") == 0


def test_limits_and_usage_in_registers() -> None:
    """getrlimit after prlimit, and the faults that getrusage counts between two calls."""
    outcome = run(
        [
            {"prlimit": {"resource": "RLIMIT_AS", "soft": "1 GiB"}},
            {"getrlimit": {"resource": "RLIMIT_AS", "as": "soft"}},
            {"getrusage": {"field": "ru_minflt", "as": "before"}},
            mmap("3 * PAGE_SIZE"),
            {"access": {"region": "m", "length": "3 * PAGE_SIZE", "pattern": {"type": "sequential"}, "count": 3, "op": "write"}},
            {"getrusage": {"field": "ru_minflt", "as": "after"}},
        ]
    )
    assert outcome.register("soft") == 1 << 30
    assert outcome.register("after") - outcome.register("before") == 3


def test_sysctl_at_run_time() -> None:
    """A lower max_map_count stops the next mapping, and drop_caches empties the page cache of a file nobody maps."""
    outcome = run(
        [
            {"sysctl": {"name": "vm.max_map_count", "value": 1}},
            {"mmap": {"length": PAGE, "expect": "ENOMEM"}},
            {"sysctl": {"name": "vm.drop_caches", "value": 0, "expect": "EINVAL"}},
            {"sysctl": {"name": "vm.drop_caches", "value": 1}},
        ],
        files={"data": {"size": "64 KiB", "cached": "all"}},
        image="dynamic",
    )
    assert outcome.exit() == "done"
    assert outcome.built.kernel.file[outcome.built.file_ids["data"], 5] == 0


@pytest.mark.parametrize(("version", "highest"), [("4.3", 100), ("4.4", 100), ("6.1", 200), ("6.18", 200)])
def test_how_high_swappiness_may_be_written(version: str, highest: int) -> None:
    """200 since 5.8 (c843966c556d), 100 before; the value that is refused changes nothing."""
    name = "vm.swappiness"
    steps = [{"sysctl": {"name": name, "value": highest}}, {"sysctl": {"name": name, "value": highest + 1, "expect": "EINVAL"}}]
    outcome = run(steps, version=version)
    assert outcome.exit() == "done"
    assert outcome.built.kernel.sysctl[SYS_SWAPPINESS] == highest


def test_exec_starts_with_the_image_again() -> None:
    """17 VMAs, nothing locked, the handler forgotten: the next SIGSEGV ends the task."""
    outcome = run(
        [
            {"on_signal": {"signal": "SIGSEGV", "steps": [{"exit": {}}]}},
            {"mlockall": {"flags": ["CURRENT", "FUTURE"]}},
            mmap("8 * PAGE_SIZE"),
            {"exec": {}},
            {"touch": "m"},
        ],
        capabilities=ROOT,
    )
    assert outcome.exit() == "SIGSEGV"
    row = outcome.built.kernel.task[1]
    from vmsim.struct.tasks import T_LOCKED, T_VMAS

    assert (row[T_VMAS], row[T_LOCKED]) == (17, 0)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"ftruncate": {"length": 1}}, "expected either file or fd"),
        ({"getrusage": {"field": "ru_minfault", "as": "x"}}, "did you mean 'ru_minflt'"),
        ({"mmap": {"length": 1, "file": "data", "fd": 3}}, "give either file or fd"),
    ],
)
def test_mistakes_are_told(step: dict[str, object], message: str) -> None:
    """A wrong step names what is wrong."""
    from vmsim.spec.load import make_experiment

    data = {"title": "t", "machine": "whiteboard", "files": {"data": {"size": 4096}}, "program": [step]}
    with pytest.raises(VmsimError, match=message):
        make_experiment(data)
