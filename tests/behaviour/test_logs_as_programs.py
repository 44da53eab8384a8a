"""An strace log as a program: its memory calls where it was recorded, in its order, by as many tasks as it tells of.

The logs under `tests/conformance/data` were recorded on Linux 6.18.44: what they answer is what that kernel answered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scenario import PAGE, WRITE, Outcome, mmap, phase, run, start, sweep

from vmsim.errors import VmsimError
from vmsim.struct import streams as st
from vmsim.struct import tasks as t
from vmsim.struct import vmas as v

LOGS = Path(__file__).parents[1] / "conformance" / "data" / "strace"
ROOT = ["CAP_IPC_LOCK", "CAP_SYS_RESOURCE", "CAP_SYS_ADMIN", "CAP_SYS_NICE"]
# Those whose every call is of the model: no huge pages, devices or guard regions, and no limit that the log doesn't tell.
WHOLE = (
    "brk01.strace.gz", "madvise01.strace.gz", "mincore01.strace.gz", "mlock03.strace.gz", "mlock201.strace.gz", "mmap04.strace.gz",
    "mremap06.strace.gz", "munlock01.strace.gz", "own-brk.strace.xz", "own-mlock.strace.xz", "own-mprot.strace.xz",
    "prog-python3-json-isolated.strace.gz", "selftest-mlock2-tests-4.4-nokpf.strace.gz",
)  # fmt: skip
START = 0x7F0000000000


def replay(path: Path, *around: Any, **given: Any) -> Outcome:
    """A log as the phase `log`."""
    kernel = {"version": "6.18", "ram": "512 MiB", "image": "none", "capabilities": ROOT}
    return run([*around, phase("log", {"trace": str(path)})], **(kernel | given))


def counts(outcome: Outcome) -> tuple[int, int, int]:
    """Calls carried out, those answered otherwise than in the log, and rows of dead tasks."""
    row = outcome.built.kernel.stream[1]
    return int(row[st.ST_CALLS]), int(row[st.ST_DIFFER]), int(row[st.ST_LOST])


def log(folder: Path, *lines: str) -> Path:
    """A log of these lines."""
    path = folder / "program.strace"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def map_line(page: int, pages: int, pid: str = "", more: str = "") -> str:
    """An anonymous mapping that the kernel put at a page from START on."""
    flags = "MAP_PRIVATE|MAP_ANONYMOUS" + more
    return f"{pid}mmap(NULL, {pages * PAGE}, PROT_READ|PROT_WRITE, {flags}, -1, 0) = {START + page * PAGE:#x}"


@pytest.mark.parametrize("name", WHOLE)
def test_calls_answer_as_on_the_recorded_kernel(name: str) -> None:
    outcome = replay(LOGS / name)
    calls, differ, lost = counts(outcome)
    assert calls > 10
    assert (differ, lost) == (0, 0)
    assert outcome.exit() == "done"


def vma_list(outcome: Outcome, tid: int = 1) -> list[tuple[int, int]]:
    """The address space at the end: first page from START on, and pages of each VMA."""
    kernel = outcome.built.kernel
    found, number = [], int(kernel.mm[kernel.task[tid, t.T_MM], v.MM_FIRST])
    while number:
        row = kernel.vma[number]
        found.append((int(row[v.V_START]) - START // PAGE, int(row[v.V_END] - row[v.V_START])))
        number = int(row[v.V_NEXT])
    return found


def test_mappings_lie_where_the_log_has_them(tmp_path: Path) -> None:
    """Addresses, sizes and locks are the log's; calls without memory are passed over."""
    path = log(
        tmp_path, 'execve("/a", ["a"], NULL) = 0', map_line(100, 8), 'openat(AT_FDCWD, "/etc/motd", O_RDONLY) = 3', map_line(200, 4),
        f"munmap({START + 102 * PAGE:#x}, {PAGE}) = 0", f"mlock({START + 200 * PAGE:#x}, {3 * PAGE}) = 0", "getpid() = 12",
    )  # fmt: skip
    outcome = replay(path)
    assert counts(outcome) == (4, 0, 0)
    assert vma_list(outcome) == [(100, 2), (103, 5), (200, 3), (203, 1)]
    assert outcome.task(t.T_LOCKED) == 3
    assert outcome.task(t.T_MIN_FLT) == 3  # that mlock made
    assert outcome.vmstat("nr_anon_pages") == 3


def test_processes_of_a_log_are_tasks(tmp_path: Path) -> None:
    """A forked child has a copy, a thread the same memory; the order is the log's although there are four CPUs."""
    path = log(
        tmp_path, '10 execve("/a", ["a"], NULL) = 0', map_line(0, 4, "10 "),
        "10 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD) = 11", map_line(10, 2, "11 "),
        f"11 munmap({START:#x}, {4 * PAGE}) = 0", f"10 madvise({START:#x}, {4 * PAGE}, MADV_DONTNEED) = 0",
        "10 clone(child_stack=0x1, flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD) = 12", map_line(20, 3, "12 "),
        f"10 mprotect({START + 20 * PAGE:#x}, {PAGE}, PROT_READ) = 0", f"12 munmap({START + 21 * PAGE:#x}, {PAGE}) = 0",
        f"10 mprotect({START + 21 * PAGE:#x}, {PAGE}, PROT_READ) = -1 ENOMEM (Cannot allocate memory)",
        "12 exit(0) = ?", "12 +++ exited with 0 +++", "11 +++ exited with 0 +++", map_line(50, 1, "10 "), "10 +++ exited with 0 +++",
    )  # fmt: skip
    outcome = replay(path, cpus=4)
    assert counts(outcome) == (9, 0, 0)
    assert [task.name for task in outcome.built.machine.tasks.values()] == ["task", "task/process-0", "task/thread-0"]
    assert outcome.task(t.T_TGID, 2) == 2
    assert outcome.task(t.T_TGID, 3) == 1
    assert outcome.task(t.T_VMAS, 2) == 1  # of the child only what it mapped itself
    assert vma_list(outcome) == [(0, 4), (20, 1), (22, 1), (50, 1)]


def test_a_log_is_streamed_and_can_be_run_again(tmp_path: Path) -> None:
    """More rows than the buffer holds, twice: every call is made each time, in an address space of its own."""
    count = 2 * (st.STREAM_BUFFER // st.ROW_COLUMNS) + 5
    lines = ['execve("/a", ["a"], NULL) = 0', map_line(0, 1)]
    lines += [f"mprotect({START:#x}, {PAGE}, PROT_READ{'|PROT_WRITE' * (i % 2)}) = 0" for i in range(count)]
    trace = {"trace": str(log(tmp_path, *lines))}
    outcome = run([{"loop": {"count": 2, "steps": [trace]}}], version="6.18", image="none")
    assert counts(outcome) == (2 * (count + 1), 0, 0)
    assert outcome.task(t.T_NSYSCALLS) == 2 * (count + 1)


def test_only_the_first_calls(tmp_path: Path) -> None:
    """`limit` counts memory calls."""
    path = log(tmp_path, *(map_line(2 * i, 1) for i in range(9)))
    outcome = run([{"trace": {"file": str(path), "limit": 4}}], version="6.18", image="none")
    assert counts(outcome) == (4, 0, 0)


def test_work_between_calls(tmp_path: Path) -> None:
    """`work` is user time before each call."""
    path = log(tmp_path, *(map_line(2 * i, 1) for i in range(9)))
    outcome = run([{"trace": {"file": str(path), "work": "3 us"}}], version="6.18", image="none")
    assert outcome.ledger("user") == 9 * 3000


def test_limits_of_the_log_hold_and_other_answers_are_counted(tmp_path: Path) -> None:
    """setrlimit is the log's; where the simulated kernel answers otherwise than the log, the program goes on."""
    path = log(
        tmp_path, map_line(0, 8), "prlimit64(0, RLIMIT_MEMLOCK, {rlim_cur=8192, rlim_max=8192}, NULL) = 0",
        f"mlock({START:#x}, {2 * PAGE}) = 0", f"mlock({START:#x}, {8 * PAGE}) = 0",
    )  # fmt: skip
    assert counts(replay(path, capabilities=[])) == (3, 1, 0)
    assert counts(replay(path, capabilities=["CAP_IPC_LOCK"])) == (3, 0, 0)


def test_files_of_a_log_are_read_from_the_device(tmp_path: Path) -> None:
    """Populating a mapping of a file of 16 pages reads it; without a device files are in memory."""
    lines = [
        'openat(AT_FDCWD, "/lib/a.so", O_RDONLY) = 3', "fstat(3, {st_mode=S_IFREG|0644, st_size=65536, ...}) = 0",
        f"mmap(NULL, 65536, PROT_READ, MAP_PRIVATE|MAP_POPULATE, 3, 0) = {START:#x}", "close(3) = 0",
    ]  # fmt: skip
    path = log(tmp_path, *lines)
    outcome = replay(path)
    assert counts(outcome) == (1, 0, 0)
    assert outcome.vmstat("pgpgin") == 64
    assert outcome.vmstat("nr_mapped") == 16
    outcome = replay(path, devices={})
    assert counts(outcome) == (1, 0, 0)
    assert outcome.vmstat("pgpgin") == 0


def test_a_killed_process_holds_nobody_up(tmp_path: Path) -> None:
    """The OOM killer ends the child that locks more than there is; what it would have done is counted, and the others go on."""
    pages = 32 << 20 >> 12
    path = log(
        tmp_path, '1 execve("/a", ["a"], NULL) = 0', "1 clone(child_stack=NULL, flags=SIGCHLD) = 2", map_line(0, pages, "2 "),
        f"2 mlock({START:#x}, {pages * PAGE}) = 0", map_line(pages, pages, "2 "),
        f"2 mlock({START + pages * PAGE:#x}, {pages * PAGE}) = 0", map_line(2 * pages, 1, "2 "), "2 +++ exited with 0 +++",
        map_line(5, 2, "1 "),
    )  # fmt: skip
    outcome = replay(path, ram="48 MiB", sysctl={"vm.overcommit_memory": 1})
    assert outcome.exit(2) == "SIGKILL"
    assert outcome.exit() == "done"
    assert counts(outcome) in ((4, 0, 3), (5, 1, 2))  # the call that it was killed in ends with it, or before
    assert vma_list(outcome) == [(5, 2)]


def test_mistakes_are_told_before_the_run(tmp_path: Path) -> None:
    """A bad line with its number, and what can't be asked of a log."""
    path = log(tmp_path, map_line(0, 1), "mmap(NULL, 1, 2) = 3")
    with pytest.raises(VmsimError, match=r"program\.strace:2: mmap has 6 arguments"):
        replay(path)
    with pytest.raises(VmsimError, match="no memory calls"):
        replay(log(tmp_path, "getpid() = 3", "close(3) = 0"))
    path = log(tmp_path, map_line(0, 1))
    with pytest.raises(VmsimError, match="needs image: none"):
        start([{"trace": str(path)}])
    with pytest.raises(VmsimError, match="needs pages of 4096 bytes"):
        replay(path, arch="aarch64", page_size="64 KiB")
    with pytest.raises(VmsimError, match="can't be in a fork"):
        start([{"fork": {"steps": [{"trace": str(path)}]}}], image="none")
    with pytest.raises(VmsimError, match="region, as and fetches"):
        start([mmap("1 MiB"), {"trace": {"file": str(path), "region": "m"}}], image="none")


def test_other_steps_go_on_after_a_log(tmp_path: Path) -> None:
    """The program goes on in the address space that the log leaves."""
    path = log(tmp_path, 'execve("/a", ["a"], NULL) = 0', map_line(0, 4))
    outcome = run(
        [{"trace": str(path)}, mmap("64 KiB", prot=WRITE), sweep(count=16, op="write"), {"touch": {"addr": START, "op": "write"}}],
        version="6.18", image="none",
    )  # fmt: skip
    assert outcome.exit() == "done"
    assert outcome.vmstat("nr_anon_pages") == 17
