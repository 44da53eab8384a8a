"""A trace as a program: the faults of its pages, in an arena or where it was recorded, as counted from the file itself."""

from __future__ import annotations

import gzip
import random
import struct
from pathlib import Path

import pytest
from scenario import PAGE, mmap, phase, run, start

from vmsim.errors import VmsimError
from vmsim.struct import tasks as t
from vmsim.struct.streams import STREAM_BUFFER

LACKEY = Path(__file__).parents[1] / "unit" / "workload" / "trace" / "data" / "touch.lackey"
NONE = {"image": "none"}


def _lackey_pages() -> tuple[list[tuple[int, str]], set[int], set[int]]:
    """Each page that the recorded program touches with its kind, the pages of code, and those of data; read by hand."""
    touched = []
    for line in LACKEY.read_text().splitlines():
        if line[:3] in ("I  ", " S ", " L ", " M "):
            address, size = line[3:].split(",")
            first, last = int(address, 16) // PAGE, (int(address, 16) + int(size) - 1) // PAGE
            touched += [(page, line[:3].strip()) for page in range(first, last + 1)]
    code = {page for page, kind in touched if kind == "I"}
    return touched, code, {page for page, kind in touched if kind != "I"}


def test_lackey_trace_in_an_arena() -> None:
    """Every access of the file is made; each page is one minor fault, those of code and data alike."""
    touched, code, data = _lackey_pages()
    outcome = run([phase("replay", {"trace": str(LACKEY)})])
    counters = outcome.phase("replay").counters
    assert counters["accesses"] == len(touched)
    assert counters["ru_minflt"] == len(code | data)


def test_lackey_trace_where_it_was_recorded() -> None:
    """Code is a private mapping of a cached file, so its pages share frames with the page cache; data are anonymous."""
    touched, code, data = _lackey_pages()
    outcome = run([phase("replay", {"trace": {"file": str(LACKEY), "map": "recorded"}})], **NONE)
    assert outcome.phase("replay").counters["accesses"] == len(touched)
    assert outcome.exit() == "done"
    written = {page for page, kind in touched if kind in "SM"}
    assert outcome.vmstat("nr_anon_pages") == len(written | (data - code))
    assert outcome.vmstat("nr_file_pages") >= len(code - written)


def test_only_data_and_only_the_first_accesses() -> None:
    """`fetches: skip` leaves the instructions out, `limit` what comes after so many of the accesses that are left."""
    touched, _, _ = _lackey_pages()
    data = [page for page, kind in touched if kind != "I"]
    for limit in (1, 7, len(data), len(data) + 5):
        outcome = run([phase("replay", {"trace": {"file": str(LACKEY), "fetches": "skip", "limit": limit}})])
        assert outcome.phase("replay").counters["accesses"] == len(data[:limit])
        assert outcome.phase("replay").counters["ru_minflt"] == len(set(data[:limit]))


def test_own_region_can_be_locked() -> None:
    """A region that was locked before has no faults during the trace; one that is too small is refused."""
    steps = [mmap("4 MiB"), {"mlock": {"addr": "m", "length": "4 MiB"}}, phase("replay", {"trace": {"file": str(LACKEY), "region": "m"}})]
    outcome = run(steps, capabilities=["CAP_IPC_LOCK"])
    assert outcome.phase("replay").counters["ru_minflt"] == 0
    with pytest.raises(VmsimError, match="needs a region of"):
        start([mmap("4 KiB"), {"trace": {"file": str(LACKEY), "region": "m"}}])


def _long_trace(path: Path, accesses: int, pages: int) -> tuple[int, int]:
    """A gzip'd text of random accesses; how many pages it reads only, and how many it writes."""
    chance = random.Random(7)
    written, seen = set(), set()
    with gzip.open(path, "wt", compresslevel=1) as out:
        for _ in range(accesses):
            page, write = chance.randrange(pages), chance.random() < 0.25
            seen.add(page)
            if write:
                written.add(page)
            out.write(f"{page * PAGE + 8:#x} {'W' if write else 'R'}\n")
    return len(seen), len(written)


def test_long_trace_passes_through_the_buffer(tmp_path: Path) -> None:
    """More than two buffers full, and again in a loop: every access is made, and only written pages get memory."""
    count = 2 * STREAM_BUFFER + 100
    _, written = _long_trace(tmp_path / "long.txt.gz", count, 300)
    place = mmap("2 MiB")
    steps = [place, {"loop": {"count": 2, "steps": [{"trace": {"file": str(tmp_path / "long.txt.gz"), "region": "m"}}]}}]
    outcome = run(steps)
    assert outcome.task(t.T_ACCESSES) == 2 * count
    assert outcome.vmstat("nr_anon_pages") == written


def test_tasks_share_the_trace_that_they_are_in(tmp_path: Path) -> None:
    """Threads that carry out one trace step at the same time make each access once, all together."""
    _long_trace(tmp_path / "t.txt.gz", 4 * STREAM_BUFFER, 50)
    thread = {"clone": {"steps": [{"trace": {"file": str(tmp_path / "t.txt.gz"), "region": "m"}}]}}
    outcome = run([mmap("2 MiB"), {"loop": {"count": 3, "steps": [thread]}}, {"wait": {}}], cpus=3)
    made = [outcome.task(t.T_ACCESSES, tid) for tid in (2, 3, 4)]
    assert sum(made) == 4 * STREAM_BUFFER
    assert min(made) > 0


def test_champsim_records(tmp_path: Path) -> None:
    """Binary records of 64 bytes: an instruction, two destinations, four sources; each non-zero address is one access."""
    rows = [struct.pack("<QBB2B4B2Q4Q", 0x1000 * i, 0, 0, 0, 0, 0, 0, 0, 0, 0x900000, 0, 0x800000 + PAGE * i, 0, 0, 0) for i in range(1, 9)]
    (tmp_path / "t.champsimtrace").write_bytes(b"".join(rows))
    outcome = run([phase("p", {"trace": {"file": str(tmp_path / "t.champsimtrace"), "format": "champsim", "fetches": "skip"}})])
    assert outcome.phase("p").counters["ru_minflt"] == 8 + 1
    assert outcome.phase("p").counters["accesses"] == 16


def test_first_bad_line_is_told(tmp_path: Path) -> None:
    """File and number of the line, before anything runs."""
    (tmp_path / "bad.txt").write_text("0x1000 R\n0x2000 W\n0xzz R\n")
    with pytest.raises(VmsimError, match=r"bad\.txt:3: "):
        start([{"trace": {"file": str(tmp_path / "bad.txt"), "format": "plain"}}])
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(VmsimError, match="the file is empty"):
        start([{"trace": str(tmp_path / "empty.txt")}])


def test_recorded_place_needs_room() -> None:
    """A trace brings its own code: it can't be laid over a program's image."""
    with pytest.raises(VmsimError, match="needs image: none"):
        start([{"trace": {"file": str(LACKEY), "map": "recorded"}}])
