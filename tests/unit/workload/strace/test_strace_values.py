"""Arguments: the same value under each of -X abbrev, raw and verbose."""

from __future__ import annotations

import pytest

from vmsim.workload.strace.names import number
from vmsim.workload.strace.values import Descriptor, descriptor, fields, split_args, string


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        (("PROT_READ|PROT_WRITE", "0x3", "0x3 /* PROT_READ|PROT_WRITE */"), 3),
        (("MAP_PRIVATE|MAP_ANONYMOUS|MAP_HUGETLB|21<<MAP_HUGE_SHIFT", "0x54040022"), 0x54040022),
        (("0x8 /* MAP_??? */|MAP_ANONYMOUS", "0x28", "0x28 /* 0x8 /* MAP_??? */|MAP_ANONYMOUS */"), 0x28),
        (("8192*1024", "8388608 /* 8192*1024 */", "8388608"), 8 << 20),
        (("RLIM64_INFINITY", "18446744073709551615 /* RLIM64_INFINITY */"), (1 << 64) - 1),
        (("S_IFREG|0644", "0100644 /* S_IFREG|0644 */"), 0o100644),
        (("CLONE_VM|CLONE_THREAD|SIGCHLD", "0x10100 /* CLONE_VM|CLONE_THREAD */|17 /* SIGCHLD */"), 0x10111),
        (("NULL", "0"), 0),
        (("-1",), -1),
        (("MADV_DONTNEED", "0x4 /* MADV_DONTNEED */"), 4),
        (("1<<CAP_IPC_LOCK", "0x4000"), 1 << 14),
    ],
)  # fmt: skip
def test_numbers(texts: tuple[str, ...], value: int) -> None:
    assert [number(text) for text in texts] == [value] * len(texts)


@pytest.mark.parametrize("text", ["", "PROT_NOTHING", "1<<64", "1<<-1", "0x10000000000000000", "1|", "a*b", "9" * 5000])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError):
        number(text)


def test_arguments_are_split_outside_of_strings_paths_and_brackets() -> None:
    text = r'3</tmp/a, b>, "x, \"y\"", {a=1, b=[2, 3]}, 0x3 /* A, B */, NULL'
    assert split_args(text) == ["3</tmp/a, b>", r'"x, \"y\""', "{a=1, b=[2, 3]}", "0x3 /* A, B */", "NULL"]
    assert split_args("NULL, 4096") == ["NULL", "4096"]
    assert split_args("") == []


def test_descriptors_strings_and_structures() -> None:
    assert descriptor("3</tmp/#21>(deleted)") == Descriptor(3, "/tmp/#21")
    assert descriptor("-1") == Descriptor(-1, None)
    assert descriptor("AT_FDCWD</tmp>") == descriptor("-100 /* AT_FDCWD */</tmp>")._replace(path=None)
    assert string(r'"a\n\"\303\x41"...') == 'a\n"\xc3A'
    assert fields("{st_mode=S_IFREG|0644, st_size=5, ...}") == {"st_mode": "S_IFREG|0644", "st_size": "5"}
    assert fields("NULL") == {}
