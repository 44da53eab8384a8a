"""Memory that is kept between runs comes back zeroed, whatever a run left in it, and only to tables that fit."""

import mmap
import sys

import numpy as np
import pytest

from vmsim.struct import areas
from vmsim.struct.areas import give_back, take_area

PAGE = mmap.PAGESIZE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="areas are kept on Linux only")


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(areas, "_kept", {})


def words(area):
    return np.frombuffer(area, np.int64)


def test_what_was_written_is_gone():
    area = take_area("frame", 3000 * PAGE)
    address = words(area).ctypes.data
    rng = np.random.default_rng(1)
    words(area)[rng.integers(0, len(words(area)), 500)] = -1  # scattered over chunks, some of them untouched
    words(area)[[0, 1, -1]] = -1  # both ends
    give_back("frame", area)
    again = take_area("frame", 2500 * PAGE)  # a smaller table fits too
    assert words(again).ctypes.data == address
    assert not words(again).any()


def test_an_area_is_given_out_once():
    give_back("frame", take_area("frame", 600 * PAGE))
    first, second = take_area("frame", 600 * PAGE), take_area("frame", 600 * PAGE)
    assert words(first).ctypes.data != words(second).ctypes.data


def test_a_larger_table_and_another_name_get_new_memory():
    area = take_area("frame", 600 * PAGE)
    words(area)[:] = 7
    give_back("frame", area)
    assert not words(take_area("vma", 600 * PAGE)).any()
    larger = take_area("frame", 601 * PAGE)
    assert len(larger) >= 601 * PAGE
    assert not words(larger).any()


@pytest.mark.parametrize(("name", "value"), [("_has_swapped", lambda: True), ("_MOST_BYTES", 0)])
def test_memory_that_cannot_be_cleared_cheaply_is_not_used_again(monkeypatch, name, value):
    area = take_area("frame", 600 * PAGE)
    address = words(area).ctypes.data
    words(area)[:] = 7
    give_back("frame", area)
    monkeypatch.setattr(areas, name, value)
    again = take_area("frame", 600 * PAGE)
    assert words(again).ctypes.data != address
    assert not words(again).any()


def test_resident_pages_are_those_that_were_touched():
    area = mmap.mmap(-1, 1200 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory = np.frombuffer(area, np.uint8)
    memory[[0, 5 * PAGE, 700 * PAGE + 9, 1200 * PAGE - 1]] = 1
    assert areas._resident_pages(memory).tolist() == [0, 5, 700, 1199]
