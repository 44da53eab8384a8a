"""`vmsim strace` on logs that are right, changed, or of things that vmsim leaves out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vmsim.cli import main

BEGIN = '10 execve("/bin/a", ["a"], 0x7ffc06563dc0 /* 39 vars */) = 0\n10 brk(NULL) = 0x55d7c9436000\n'
MAP = "10 mmap(NULL, 16384, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f1b5de29000\n"
HOLE = "10 munmap(0x7f1b5de2a000, 4096) = 0\n"


def replay(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, *options: str) -> tuple[int, list[str]]:
    path = tmp_path / "a.strace"
    path.write_text(text)
    status = main(["strace", *options, str(path)])
    return status, capsys.readouterr().out.splitlines()


def test_agreement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = BEGIN + MAP + HOLE + "10 mlock(0x7f1b5de29000, 16384) = -1 ENOMEM (Cannot allocate memory)\n10 getpid() = 10\n"
    status, out = replay(tmp_path, capsys, log)
    assert (status, out[-1]) == (0, "sequences 1 steps 4 divergences 0")
    assert any("2 other calls skipped" in line for line in out) or any("1 other calls skipped" in line for line in out)
    status, out = replay(tmp_path, capsys, log, "--json")
    found = json.loads("\n".join(out))
    assert (status, found["steps"], found["divergences"], found["files"][0]["skipped"]) == (0, 4, 0, {"getpid": 1})


def test_a_changed_answer_is_shown_with_the_steps_before_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = BEGIN + MAP + HOLE + "10 mlock(0x7f1b5de29000, 16384) = 0\n"
    status, out = replay(tmp_path, capsys, log)
    assert (status, out[-1]) == (1, "sequences 1 steps 4 divergences 1")
    text = "\n".join(out)
    assert "a.strace:5: process 10" in text
    assert ">      5 mlock(0x7f1b5de29000, 16384) = 0" in text
    assert "       4 munmap(0x7f1b5de2a000, 4096) = 0" in text
    assert "expected  0\n    simulated -1 ENOMEM" in text


@pytest.mark.parametrize(
    "line",
    [
        "mmap(0x7f1b5de29000, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f1b5de29000",  # taken: no kernel puts it there
        "mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f1b5de29000",
        "mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f1b5de28800",  # not a page
        "mmap(NULL, 0, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f1b5de20000",
        "munmap(0x7f1b5de29001, 4096) = 0",
        "mremap(0x7f1b5de29000, 16384, 32768, 0) = -1 EFAULT (Bad address)",
        "brk(0x55d7c9457000) = 0x55d7c9436000",
        "msync(0x7f1b5de29000, 4096, MS_SYNC|MS_ASYNC) = 0",
        "mlockall(0) = 0",
    ],
)
def test_impossible_answers_diverge(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    status, out = replay(tmp_path, capsys, BEGIN + MAP + f"10 {line}\n")
    assert (status, out[-1]) == (1, "sequences 1 steps 3 divergences 1")


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("mmap(NULL, 2097152, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB, -1, 0) = -1 ENOMEM (Cannot allocate memory)", "hugetlbfs"),
        ("mmap(NULL, 4096, PROT_READ, MAP_SHARED, 3</dev/dri/card0>, 0) = 0x7f1b5de20000", "device mappings"),
        ("madvise(0x7f1b5de29000, 4096, MADV_HWPOISON) = -1 EPERM (Operation not permitted)", "memory errors"),
        ("mbind(0x7f1b5de29000, 4096, MPOL_BIND, [0x1], 64, 0) = 0", "NUMA placement"),
        ("mmap2(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = -1 ENOMEM (Cannot allocate memory)", "32-bit programs"),
        ("mlock(0x7f1b5de29000, 4096) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)", "interrupted"),
    ],
)
def test_what_is_left_out_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, rule: str) -> None:
    status, out = replay(tmp_path, capsys, BEGIN + MAP + f"10 {line}\n")
    assert status == 0
    assert any(f"left out: 1 by the rule '{rule}'" in text for text in out)


def test_memory_of_the_image_is_assumed_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No call mapped it, but mprotect finds it; after an munmap of the log the same answer is a divergence."""
    log = BEGIN + "10 mprotect(0x55717f89e000, 8192, PROT_READ) = 0\n10 munmap(0x55717f89e000, 8192) = 0\n"
    status, out = replay(tmp_path, capsys, log)
    assert status == 0
    assert any("assumed: 1 ranges of memory that no call of the log maps" in text for text in out)
    assert replay(tmp_path, capsys, log + "10 mprotect(0x55717f89e000, 8192, PROT_READ) = 0\n")[0] == 1


def test_the_kernel_is_told_from_the_log_or_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """mlock2 is ENOSYS before 4.4."""
    log = BEGIN + MAP + "10 mlock2(0x7f1b5de29000, 4096, MLOCK_ONFAULT) = -1 ENOSYS (Function not implemented)\n"
    assert replay(tmp_path, capsys, log)[0] == 1
    assert replay(tmp_path, capsys, log, "--kernel", "4.3.0")[0] == 0
    named = log + '10 uname({sysname="Linux", nodename="a", release="4.3.3", version="#1", machine="x86_64", domainname=""}) = 0\n'
    status, out = replay(tmp_path, capsys, named)
    assert status == 0
    assert "kernel 4.3.3, replayed by the rules of 4.3 (as the log says)" in out[0] or "kernel 4.3.3 (as the log says)" in out[0]
    assert main(["strace", "--kernel", "six", str(tmp_path / "a.strace")]) == 2


def test_a_limit_holds_without_the_capability(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """getrlimit tells the limit, geteuid that it holds: 4 pages may be locked, 5 not, whatever the log says."""
    log = BEGIN + MAP.replace("16384", "32768")
    log += "10 prlimit64(0, RLIMIT_MEMLOCK, NULL, {rlim_cur=16*1024, rlim_max=16*1024}) = 0\n10 geteuid() = 1000\n"
    assert replay(tmp_path, capsys, log + "10 mlock(0x7f1b5de29000, 16384) = 0\n")[0] == 0
    assert replay(tmp_path, capsys, log + "10 mlock(0x7f1b5de29000, 20480) = -1 ENOMEM (Cannot allocate memory)\n")[0] == 0
    capable = log + "10 capget({version=_LINUX_CAPABILITY_VERSION_3, pid=0}, {effective=0, permitted=0, inheritable=0}) = 0\n"
    assert replay(tmp_path, capsys, capable + "10 mlock(0x7f1b5de29000, 20480) = 0\n")[0] == 1


def test_an_unmapping_takes_effect_before_its_line_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another thread gets the place while the first one's munmap has not returned yet in the log."""
    log = (
        BEGIN + MAP + "10 clone3({flags=CLONE_VM|CLONE_THREAD, exit_signal=0}, 88) = 11\n"
        "10 munmap(0x7f1b5de29000, 16384 <unfinished ...>\n"
        "11 mmap(NULL, 16384, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f1b5de29000\n"
        "10 <... munmap resumed>) = 0\n"
        "11 mprotect(0x7f1b5de29000, 16384, PROT_NONE) = 0\n"
    )
    status, out = replay(tmp_path, capsys, log)
    assert (status, out[-1]) == (0, "sequences 1 steps 5 divergences 0")


def test_a_child_has_a_copy_and_a_thread_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gone = "mprotect(0x7f1b5de29000, 16384, PROT_READ) = -1 ENOMEM (Cannot allocate memory)\n"
    unmap = "11 munmap(0x7f1b5de29000, 16384) = 0\n"
    fork = BEGIN + MAP + "10 fork() = 11\n" + unmap
    assert replay(tmp_path, capsys, fork + "10 mprotect(0x7f1b5de29000, 16384, PROT_READ) = 0\n11 " + gone)[0] == 0
    assert replay(tmp_path, capsys, fork + "10 " + gone)[0] == 1
    for shared in ("10 clone(child_stack=NULL, flags=CLONE_VM|CLONE_THREAD) = 11\n", "10 vfork() = 11\n"):
        assert replay(tmp_path, capsys, BEGIN + MAP + shared + unmap + "10 " + gone)[0] == 0
