"""Lines in every form that strace's options give them; the forms are those of its manual and of its versions 4 to 6."""

from __future__ import annotations

import pytest

from vmsim.workload.strace.line import BEGUN, CALL, EXIT, REMARK, RESUMED, SIGNAL, Line, parse_line

CALLED = "mlock(0x7f8007061000, 4096) = 0"
PREFIXES = {  # options: what stands before the call, and the process that it names
    "": ("", 0),
    "-f": ("[pid 28984] ", 28984),
    "-f, a short number": ("[pid    17] ", 17),
    "-f -o": ("28984 ", 28984),
    "-f -o, columns": ("28984  ", 28984),
    "-t": ("12:00:01 ", 0),
    "-tt": ("12:00:01.000001 ", 0),
    "-ttt": ("1795540725.815338 ", 0),
    "-r": ("     0.000458 ", 0),
    "-f -tt": ("[pid 28984] 12:00:01.000001 ", 28984),
    "-f -o -tt": ("28984 12:00:01.000001 ", 28984),
    "-f -o -ttt": ("28984 1795540725.815338 ", 28984),
    "-f -o -r": ("28984      0.000458 ", 28984),
    "-t -r": ("12:00:01 (+     0.000458) ", 0),
    "-i": ("[00007f7b9c884ad7] ", 0),
    "-i, unknown": ("[????????????????] ", 0),
    "-n": ("[ 149] ", 0),
    "-f --decode-pids=comm": ("[pid 28984<a b>] ", 28984),
    "-f -o --decode-pids=comm": ("28984<a> ", 28984),
    "-f -o -tt -i -n": ("28984 12:00:01.000001 [00007f7b9c884ad7] [ 149] ", 28984),
}


@pytest.mark.parametrize("prefix", PREFIXES.values(), ids=PREFIXES)
def test_prefixes(prefix: tuple[str, int]) -> None:
    assert parse_line(prefix[0] + CALLED) == Line(CALL, prefix[1], "mlock", "0x7f8007061000, 4096", 0, "", "")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("brk(NULL)                = 0x55f9dcfc4000", Line(CALL, 0, "brk", "NULL", 0x55F9DCFC4000, "", "")),
        ("munlockall() = 0 <0.000012>", Line(CALL, 0, "munlockall", "", 0, "", " <0.000012>")),
        ("umask(0) = 022", Line(CALL, 0, "umask", "0", 0o22, "", "")),
        ("exit_group(0) = ?", Line(CALL, 0, "exit_group", "0", None, "", "")),
        (
            'openat(AT_FDCWD, "a) = 3", O_RDONLY) = 4</tmp/a>',
            Line(CALL, 0, "openat", 'AT_FDCWD, "a) = 3", O_RDONLY', 4, "", "</tmp/a>"),
        ),
        (
            "mlock(0x1000, 1) = -1 ENOMEM (Cannot allocate memory)",
            Line(CALL, 0, "mlock", "0x1000, 1", -1, "ENOMEM", " ENOMEM (Cannot allocate memory)"),
        ),
        (
            "wait4(-1, NULL, 0, NULL) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)",
            Line(CALL, 0, "wait4", "-1, NULL, 0, NULL", None, "ERESTARTSYS", " ERESTARTSYS (To be restarted if SA_RESTART is set)"),
        ),
        ("7 mmap(NULL, 4096, PROT_READ <unfinished ...>", Line(BEGUN, 7, "mmap", "NULL, 4096, PROT_READ")),
        ("7 vfork( <unfinished ...>", Line(BEGUN, 7, "vfork", "")),
        ("7 <... mmap resumed>, MAP_SHARED, 3, 0) = 0x1000", Line(RESUMED, 7, "mmap", "MAP_SHARED, 3, 0", 0x1000, "", "")),
        ("7 <... munmap resumed>) = 0", Line(RESUMED, 7, "munmap", "", 0, "", "")),
        (
            "7 --- SIGSEGV {si_signo=SIGSEGV, si_addr=NULL} ---",
            Line(SIGNAL, 7, "SIGSEGV", "--- SIGSEGV {si_signo=SIGSEGV, si_addr=NULL} ---"),
        ),
        ("7 --- stopped by SIGSTOP ---", Line(SIGNAL, 7, "stopped by SIGSTOP", "--- stopped by SIGSTOP ---")),
        ("7 +++ exited with 0 +++", Line(EXIT, 7, "exited")),
        ("7 +++ killed by SIGSEGV (core dumped) +++", Line(EXIT, 7, "killed")),
        ("7 +++ superseded by execve in pid 9 +++", Line(EXIT, 7, "superseded", result=9)),
        ("strace: Process 24051 attached", Line(REMARK, 0)),
        ("", Line(REMARK, 0)),
        (" > /usr/lib/libc.so.6(mmap+0x17) [0x101ad7]", Line(REMARK, 0)),
    ],
)
def test_kinds(text: str, line: Line) -> None:
    assert parse_line(text) == line


@pytest.mark.parametrize(
    "text", ["?", "mlock(0x1000, 1", "mlock(0x1000, 1) =", "hello world", "mlock 1 = 0", "7 <... mmap resumed", "7 +++ left +++ x"]
)
def test_what_strace_does_not_print(text: str) -> None:
    with pytest.raises(ValueError, match="expected a call, signal or exit"):
        parse_line(text)
