"""`vmsim trace inspect`: what is printed, and the exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vmsim.report.trace_inspect import sparkline, trace_inspect_command
from vmsim.workload.trace import WorkingSet

LINES = b"".join(b" L %x,8\n S %x,8\n" % (0x10000 + 4096 * (i % 8), 0x7F0000000000 + 64 * i) for i in range(500))


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """A thousand accesses: reads of 8 pages in turn and writes upwards through 8 pages (500 * 64 bytes = 31.25 KiB)."""
    path = tmp_path / "some.lackey"
    path.write_bytes(LINES)
    return path


def test_table(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trace_inspect_command([trace]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for text in (
        "some.lackey",
        "Valgrind lackey",
        "certain",
        "500 reads (50.0%)",
        "16 pages of 4 KiB = 64 KiB",
        "10000-18000",
        "-w-",
    ):
        assert text in out
    assert "▁" in out or "█" in out


def test_json_of_one_file_is_an_object_and_of_several_a_list(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert trace_inspect_command([trace], json=True) == 0
    table = json.loads(capsys.readouterr().out)
    assert (table["format"], table["accesses"], table["footprint_pages"], table["footprint_bytes"]) == (
        "lackey",
        1000,
        16,
        65536,
    )
    assert table["first_bad"] is None
    assert trace_inspect_command([trace, trace], json=True) == 0
    assert [each["accesses"] for each in json.loads(capsys.readouterr().out)] == [1000, 1000]


def test_a_bad_line_is_told_and_the_rest_is_read(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace.write_bytes(LINES + b"oops\n" + LINES)
    assert trace_inspect_command([trace]) == 2
    out, err = capsys.readouterr()
    assert f"vmsim: {trace}:1001: expected" in err
    assert "got 'oops' [1 bad line passed over; the rest was read]" in err
    assert "2,000" in out
    assert trace_inspect_command([trace], json=True) == 2
    assert json.loads(capsys.readouterr().out)["first_bad"]["number"] == 1001


def test_one_file_that_can_not_be_read_does_not_keep_the_others(
    trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trace_inspect_command([trace.parent / "none", trace]) == 2
    out, err = capsys.readouterr()
    assert "none: can't be opened: No such file or directory" in err
    assert "1,000" in out


def test_picture(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = trace.parent / "sets.png"
    assert trace_inspect_command([trace], plot=picture) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_sparkline_shows_the_largest_of_those_that_share_a_bar() -> None:
    points = [WorkingSet(i + 1, 1, float(i % 2 * 8)) for i in range(128)]
    assert sparkline(points) == ("█" * 64, 0.0, 8.0)
    assert sparkline([WorkingSet(1, 1, 1.0), WorkingSet(2, 1, 4.0), WorkingSet(3, 1, 8.0)]) == ("▂▅█", 1.0, 8.0)


def test_the_same_without_the_compiler(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace.write_bytes(LINES + b" L 1,\n")
    code = "import sys; from vmsim.report.trace_inspect import trace_inspect_command as inspect\n"
    code += f"sys.exit(inspect([{str(trace)!r}], json=True))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    interpreted = json.loads(done.stdout)
    trace_inspect_command([trace], json=True)
    here = json.loads(capsys.readouterr().out)
    interpreted["seconds"] = here["seconds"] = 0
    assert interpreted == here
