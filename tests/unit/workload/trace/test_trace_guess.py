"""Which format a file is taken for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vmsim.errors import VmsimError
from vmsim.workload.trace import TraceError, inspect, known_formats, open_trace

Write = Callable[[bytes], Path]
Made = dict[str, Callable[[int], bytes]]


@pytest.mark.parametrize("count", [4, 100, 5000])
def test_every_format_is_recognised(write: Write, made: Made, count: int) -> None:
    for format, make in made.items():
        guess = open_trace(write(make(count))).guess
        assert guess.format == format
        assert guess.sureness in ("certain", "very likely", "likely") or count == 4
        assert guess.why


def test_every_format_is_made_here(made: Made) -> None:
    assert set(made) == set(known_formats())


def test_what_is_nothing_is_told_with_the_known_formats(write: Write) -> None:
    with pytest.raises(
        TraceError, match=r":1: the format isn't recognised; it begins with 'Dear reader' \(known.*lackey, lcs"
    ) as caught:
        open_trace(write(b"Dear reader\n,\n\n"))
    assert (caught.value.unit, caught.value.number) == ("line", 1)
    with pytest.raises(TraceError, match="record 1: the format isn't recognised"):
        open_trace(write(bytes(range(256)) * 20))


def test_a_wrong_name_gives_the_nearest(write: Write) -> None:
    with pytest.raises(VmsimError, match="no trace format 'lacky'; did you mean 'lackey'"):
        open_trace(write(b" L 10,1\n"), "lacky")


def test_strace_logs_are_counted_and_not_read(write: Write) -> None:
    log = (
        b'28983 execve("/opt/mlock03", ["mlock03"], 0x7ffc06563dc0 /* 39 vars */) = 0\n'
        b"28983 mmap(NULL, 8192, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f8007061000\n"
        b"[pid 28984] 12:00:01.000001 mlock(0x7f8007061000, 4096 <unfinished ...>\n"
        b"[pid 28984] <... mlock resumed>) = 0\n"
        b"28983 --- SIGSEGV {si_signo=SIGSEGV} ---\n"
        b"28983 +++ exited with 0 +++\n"
    )
    summary = inspect(write(log))
    assert (summary.format, summary.records, summary.calls, summary.bad) == ("strace", 6, {"mmap": 1, "mlock": 1}, 0)
    with pytest.raises(TraceError, match="vmsim strace"):
        list(open_trace(write(log)))
    summary = inspect(write(log + b"?\n"), format="strace")
    assert summary.first_bad is not None
    assert summary.first_bad.number == 7
