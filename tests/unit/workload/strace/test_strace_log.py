"""Putting cut lines together, and telling whose a line is."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmsim.workload.strace.line import BEGUN
from vmsim.workload.strace.log import Log
from vmsim.workload.trace.format import TraceError
from vmsim.workload.trace.stream import ByteStream


def read(tmp_path: Path, text: str) -> list[tuple[int, int, str, str]]:
    path = tmp_path / "log"
    path.write_text(text)
    with ByteStream(path) as stream:
        return [(number, line.pid, line.name, line.args) for number, line in Log(stream) if line.kind != BEGUN]


def test_the_arguments_of_both_parts_are_joined(tmp_path: Path) -> None:
    log = "1 mmap(NULL, 4096, PROT_READ <unfinished ...>\n2 getpid() = 2\n1 <... mmap resumed>, MAP_SHARED, 3, 0) = 0x1000\n"
    assert read(tmp_path, log) == [(2, 2, "getpid", ""), (3, 1, "mmap", "NULL, 4096, PROT_READ, MAP_SHARED, 3, 0")]


def test_a_thread_that_calls_execve_becomes_its_process(tmp_path: Path) -> None:
    log = '5 execve("/a", ["a"], NULL <unfinished ...>\n4 +++ superseded by execve in pid 5 +++\n4 <... execve resumed>) = 0\n'
    assert read(tmp_path, log)[-1] == (3, 4, "execve", '"/a", ["a"], NULL')


def test_a_log_without_o_names_a_process_only_while_there_are_several(tmp_path: Path) -> None:
    """The first process is number 0, also where strace names it; a message in the middle of a line is taken out."""
    log = (
        "brk(NULL) = 0x1000\n"
        "clone(child_stack=NULL, flags=SIGCHLDstrace: Process 71 attached\n"
        ") = 71\n"
        "[pid 70] getpid() = 70\n"
        "[pid 71] getpid() = 71\n"
        "[pid 70] +++ exited with 0 +++\n"
        "getuid() = 0\n"
    )
    assert [(pid, name) for _, pid, name, _ in read(tmp_path, log)] == [
        (0, "brk"), (0, "clone"), (0, "getpid"), (71, "getpid"), (0, "exited"), (71, "getuid"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["brk(NULL) = 0x1000\nbrk(", "brk(NULL) = 0x1000\n\0\0\0", "brk(NULL) = 0x1000\n" + "x" * (2 << 20)])
def test_the_bad_line_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(TraceError, match=r"log:2: "):
        read(tmp_path, text)
