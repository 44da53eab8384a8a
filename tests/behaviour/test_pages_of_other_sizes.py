"""Machines whose pages are larger than 4 KiB: what costs time by the byte, and the image of programs, which has a size in bytes."""

from __future__ import annotations

import pytest

from vmsim.errors import VmsimError
from vmsim.experiment.run import RunResult
from vmsim.experiment.sweep import run_experiment
from vmsim.machine.image import CODE_PAGE, IMAGE_FILES, SMALL_PAGE, code_page, dynamic_image, image_files
from vmsim.spec.load import make_experiment

SIZES = (4096, 16384, 65536)
MIB = 1 << 20


def run(page_size: int, ram: str = "256 MiB", **task: object) -> RunResult:
    write = {"region": "map", "length": "1 MiB", "pattern": {"type": "sequential"}, "count": "1 MiB // PAGE_SIZE", "op": "write"}
    program = [
        {"mmap": {"length": "1 MiB", "as": "map"}},
        {"access": write},
        {"fork": {"steps": [{"access": write}]}},
        {"wait": {}},
    ]
    machine = {"arch": "aarch64", "page_size": page_size, "ram": ram, "costs": {"zero_page": "100 ns", "copy_page": "1 us"}}
    data = {"title": "pages", "machine": machine, "tasks": [{"name": "writer", "program": program, **task}]}
    return run_experiment(make_experiment(data)).runs[0]


@pytest.mark.parametrize("page_size", SIZES)
def test_clearing_and_copying_take_time_by_the_byte(page_size: int) -> None:
    """The costs are those of 4 KiB: a MiB of either takes 256 of them, however large its pages are."""
    ledgers = {task.task: task.ledger for task in run(page_size, image="none").tasks}
    assert ledgers["writer"]["zero"] == 256 * 100
    assert ledgers["writer/child-0"]["copy"] == 256 * 1000


@pytest.mark.parametrize("page_size", SIZES)
def test_the_image_is_as_long_in_bytes_up_to_rounding(page_size: int) -> None:
    small = dict(zip(IMAGE_FILES, (14, 453, 37), strict=True))  # of 4 KiB: program, C library, dynamic linker
    unit = page_size // SMALL_PAGE
    for name, pages in image_files(page_size).items():
        assert small[name] <= pages * unit < small[name] + 4 * unit  # each of at most four pieces is rounded up
    placed = dynamic_image(1 << 24, 1 << 25, page_size)
    assert len(placed) == 17
    ends = [start + piece.pages for start, piece in placed]
    assert all(end <= start for end, (start, _) in zip(ends, placed[1:], strict=False))
    assert ends[-2] == 1 << 24
    text = next((start, piece) for start, piece in placed if piece.file == "libc.so")
    assert code_page(1 << 24, page_size) == text[0] + CODE_PAGE // unit < text[0] + text[1].pages


def test_a_machine_that_no_program_fits_in_says_so() -> None:
    with pytest.raises(VmsimError, match=r"512.* of memory don't hold the programs' libc.so .*image: none"):
        run(4096, ram="512 KiB")
