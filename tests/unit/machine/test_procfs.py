"""The texts of /proc: their form against files of a 6.18 kernel, their values against recorded states and sums."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from scenario import ROOT, mmap, run

from vmsim.experiment.conform.recording import Sequence, read_sequences
from vmsim.experiment.conform.replay import Replayer
from vmsim.experiment.conform.rig import PARENT
from vmsim.machine.build import Built
from vmsim.machine.procfs import ProcFs
from vmsim.machine.procfs.process import PM_FILE, PM_PRESENT
from vmsim.spec.show import PROC_FILES
from vmsim.struct.jit import JIT

REAL = Path(__file__).parent / "data" / "proc_6_18"
RECORDED = Path(__file__).parents[2] / "conformance" / "data"
_AREA = re.compile(r"^[0-9a-f]{8,}-[0-9a-f]{8,} [r-][w-][x-][ps] [0-9a-f]{8,} [0-9a-f]{2}:[0-9a-f]{2} \d+ (?: *(/|\[).*)?$")


def machine(version: str = "6.18") -> Built:
    """A program with locked, shared, file and memory-file mappings, stopped at its end."""
    steps = [
        {"memfd_create": {"as": "fd"}},
        {"ftruncate": {"fd": "fd", "length": 8192}},
        mmap("2 * PAGE_SIZE", "shared", fd="fd", flags=["SHARED"]),
        mmap("4 * PAGE_SIZE", "locked", flags=["PRIVATE", "ANONYMOUS", "LOCKED"]),
        mmap("8 * PAGE_SIZE", "file", file="data", prot=["READ"]),
        {"madvise": {"addr": "locked", "length": "PAGE_SIZE", "advice": "DONTFORK"}},
        {"touch": {"addr": "shared", "op": "write"}},
        {"touch": "file"},
        {"show": list(PROC_FILES)},
    ]
    files = {"data": {"size": "32 KiB", "cached": "all"}}
    return run(steps, version=version, files=files, capabilities=ROOT).built


def shape(line: str) -> str:
    """A line without its numbers: those in columns keep their width."""
    if line.startswith("Max "):
        return re.sub(r"(unlimited|\d+) +", lambda match: "#" * len(match[0]), line)
    if line.endswith(" kB"):
        return re.sub(r" *\d+ kB$", lambda match: "#" * len(match[0]), line)
    return re.sub(r"\d+$", "#", line)


def label(line: str) -> str:
    """What a line tells of."""
    return line[:26] if line.startswith("Max ") else line.split(":")[0] if ":" in line else line.split()[0]


def texts(built: Built) -> dict[str, str]:
    return {shown.file: shown.text for shown in built.shown}


@pytest.fixture(scope="module")
def built() -> Built:
    return machine()


@pytest.mark.parametrize("file", ["smaps", "status", "limits", "meminfo", "vmstat", "zoneinfo"])
def test_every_line_has_the_form_of_the_kernels(built: Built, file: str) -> None:
    """Each line is one that the kernel writes, widths included."""
    real = {shape(line) for line in (REAL / file).read_text().splitlines()}
    ours = [line for line in texts(built)[file].splitlines() if not _AREA.match(line)]
    allowed = ("Name:", "State:", "VmFlags:", "Node 0, zone", "        protection:")
    assert [line for line in ours if shape(line) not in real and not line.startswith(allowed)] == []


@pytest.mark.parametrize("file", ["smaps", "status", "limits", "meminfo", "vmstat"])
def test_the_lines_come_in_the_kernels_order(built: Built, file: str) -> None:
    """Labels of ours are a subsequence of the kernel's, once over."""
    real = [label(line) for line in (REAL / file).read_text().splitlines() if not _AREA.match(line)]
    ours = [label(line) for line in texts(built)[file].splitlines() if not _AREA.match(line)]
    once = ours[: ours.index(ours[0], 1)] if ours.count(ours[0]) > 1 and file == "smaps" else ours
    remaining = iter(real)
    assert [name for name in once if name not in remaining] == []


def test_areas_have_the_form_of_the_kernels(built: Built) -> None:
    """Lines of maps: the pattern that the kernel's own satisfy, names from column 73 on."""
    for text in ((REAL / "maps").read_text(), texts(built)["maps"]):
        for line in text.splitlines():
            assert _AREA.match(line), line
            assert len(line) < 73 or line[72] == " " != line[73], line
    names = [line[73:] for line in texts(built)["maps"].splitlines()]
    assert {"[heap]", "[stack]", "[vdso]", "/data/data", "/memfd:memory (deleted)"} <= set(names)


def test_smaps_of_4_4() -> None:
    """The lines of 4.4 in its order; lock-on-fault has no name there; 4.3 has no hugetlb lines."""
    text = texts(machine("4.4"))["smaps"].splitlines()
    labels = [line.split(":")[0] for line in text[1 : text.index(next(line for line in text[1:] if _AREA.match(line)))]]
    assert labels == [
        "Size", "Rss", "Pss", "Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty", "Referenced", "Anonymous", "AnonHugePages",
        "Shared_Hugetlb", "Private_Hugetlb", "Swap", "SwapPss", "KernelPageSize", "MMUPageSize", "Locked", "VmFlags",
    ]  # fmt: skip
    assert "Hugetlb" not in texts(machine("4.3"))["smaps"]
    assert texts(machine("4.4"))["vmstat"].startswith("nr_free_pages ")


def kilobytes(text: str, name: str) -> int:
    return sum(int(kb) for kb in re.findall(rf"^{re.escape(name)}: +(\d+) kB$", text, re.MULTILINE))


@pytest.mark.parametrize("version", ["4.4", "6.18"])
def test_sums_agree(version: str) -> None:
    """Over all mappings smaps gives what status says; meminfo's lists are those of zoneinfo."""
    shown = texts(machine(version))
    smaps, status = shown["smaps"], re.sub(r":\t", ": ", shown["status"])
    assert kilobytes(smaps, "Rss") == kilobytes(status, "VmRSS")
    hidden = 4 if version == "4.4" else 0  # the guard page of the stack
    assert kilobytes(smaps, "Size") == kilobytes(status, "VmSize") - hidden
    assert kilobytes(smaps, "Locked") == kilobytes(status, "VmLck") == 16
    parts = ("Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty")
    assert sum(kilobytes(smaps, part) for part in parts) == kilobytes(smaps, "Rss")
    if version == "6.18":
        assert kilobytes(status, "RssShmem") == 4
        assert sum(kilobytes(status, name) for name in ("RssAnon", "RssFile", "RssShmem")) == kilobytes(status, "VmRSS")
    meminfo = shown["meminfo"]
    prefix = "nr_zone_" if version == "6.18" else "nr_"
    zones = re.findall(rf"^ +{prefix}unevictable +(\d+)$", shown["zoneinfo"], re.MULTILINE)
    assert sum(map(int, zones)) * 4 == kilobytes(meminfo, "Unevictable")
    free = re.findall(r"^  pages free +(\d+)$", shown["zoneinfo"], re.MULTILINE)
    assert sum(map(int, free)) * 4 <= kilobytes(meminfo, "MemTotal")


def test_pagemap_entries(built: Built) -> None:
    """Bits of the kernel's documentation: present, of a file or shared memory; absent pages are 0."""
    start = int(next(line for line in texts(built)["maps"].splitlines() if "memfd" in line).split("-")[0], 16) // 4096
    entries = built.proc.process(1).pagemap_entries(start, 2)
    assert entries[0] & PM_PRESENT and entries[0] & PM_FILE and entries[1] == 0
    assert "1F 1." in texts(built)["pagemap"]


@pytest.mark.parametrize("kernel", ["4.4.1", "6.1.177", "6.18.44"])
def test_values_are_the_recorded_kernels(kernel: str) -> None:
    """Rss, Anonymous, Locked and VmFlags of every mapping, VmSize and VmLck, at points of recorded sequences."""
    sequences = list(read_sequences(RECORDED / f"{kernel}-all.jsonl.gz"))[: 6 if JIT else 2]
    replayer = Replayer()
    compared = 0
    for sequence in sequences:
        for length in range(3, len(sequence.steps), 9):
            state = state_after(sequence, length)
            if state is None:
                continue
            cut: Sequence = dataclasses.replace(sequence, steps=sequence.steps[:length])
            assert replayer.replay(cut) is None
            compare(state, ProcFs(replayer._rig.kernel).process(PARENT))
            compared += 1
    assert compared > 3


def state_after(sequence: Sequence, length: int) -> dict[str, object] | None:
    """The state that the step before `length` left, if the recording has it there."""
    state = sequence.steps[length - 1].record.get("st")
    return None if state is None else state if isinstance(state, dict) else state.parsed()


def compare(state: dict[str, object], process: object) -> None:
    """A recorded state with what smaps and status say; mappings of the window only."""
    text = process.smaps()  # type: ignore[attr-defined]
    areas = re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", text)[1:]
    found = {(int(area.split("-")[0], 16), kilobytes(area, "Size")): area for area in areas}  # a lone guard page shows as nothing
    for start, pages, perms, _, _, rss, anon, locked, flags in state["vmas"]:  # type: ignore[attr-defined]
        area = found[0x200000000000 + start * 4096, pages * 4]
        assert area.split()[1] == perms
        numbers = [kilobytes(area, name) for name in ("Size", "Rss", "Anonymous", "Locked")]
        assert numbers == [pages * 4, rss * 4, anon * 4, locked], area
        shown = area[area.index("VmFlags:") :].split()[1:]
        assert [name for name in shown if name not in ("rd", "wr", "ex", "sh", "mr", "mw", "me", "ms", "sd")] == flags.split()
    status = re.sub(r":\t", ": ", process.status())  # type: ignore[attr-defined]
    assert [kilobytes(status, name) for name in ("VmSize", "VmLck")] == [state["vsz"] * 4, state["lck"] * 4]  # type: ignore[operator]
