"""Random programs over mappings of several huge pages: none is lost, torn or owned twice, with memory enough and with too little."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scenario import run_verified, start

PROGRAMS = int(os.environ.get("VMSIM_RANDOM_PROGRAMS", "40"))
UNIT = 32  # pages: a huge page is 16 of them on x86-64 and 8 on s390x
UNITS = 72
PLACES = {"a": "256 MiB", "b": "320 MiB + 20 * PAGE_SIZE"}
ADVICE = ("DONTNEED", "HUGEPAGE", "NOHUGEPAGE", "WILLNEED", "DONTFORK", "MERGEABLE")
PROTS = ([], ["READ"], ["READ", "WRITE"])

_place = st.sampled_from(sorted(PLACES))
_range = st.tuples(st.integers(0, UNITS - 1), st.integers(1, UNITS)).map(lambda r: (r[0], min(r[1], UNITS - r[0])))
_odd = st.sampled_from([0, 0, 0, 1, 7])  # pages beside the unit


def _at(place: str, unit: int, odd: int) -> str:
    return f"{PLACES[place]} + {unit * UNIT + odd} * PAGE_SIZE"


def _call(name: str, place: str, where: tuple[int, int], odd: int, more: dict[str, Any]) -> dict[str, Any]:
    length = f"{where[1] * UNIT - odd} * PAGE_SIZE"
    return {name: {"addr": _at(place, where[0], odd), "length": length, "expect": "any", **more}}


def _mmap(place: str, where: tuple[int, int], flags: list[str]) -> dict[str, Any]:
    more = {"prot": ["READ", "WRITE"], "flags": ["FIXED", "PRIVATE", "ANONYMOUS", *flags]}
    return _call("mmap", place, where, 0, more)


def _access(place: str, where: tuple[int, int], kind: str, count: int, writes: float) -> dict[str, Any]:
    pattern: dict[str, Any] = {"type": kind} | ({"stride": 97} if kind == "stride" else {})
    region = {"region": _at(place, where[0], 0), "length": f"{where[1] * UNIT} * PAGE_SIZE"}
    return {"access": {**region, "pattern": pattern, "count": count, "write_fraction": writes}}


def _mremap(place: str, where: tuple[int, int], odd: int, to: str, unit: int) -> dict[str, Any]:
    pages = where[1] * UNIT - odd
    step = {"addr": _at(place, where[0], odd), "old_length": f"{pages} * PAGE_SIZE", "new_length": f"{pages} * PAGE_SIZE"}
    return {"mremap": {**step, "flags": ["MAYMOVE", "FIXED"], "new_addr": _at(to, unit, 0), "expect": "any"}}


_kinds = st.sampled_from(["sequential", "stride", "uniform"])
_writes = st.sampled_from([0.0, 0.5, 1.0, 1.0])
_touch = st.builds(_access, _place, _range, _kinds, st.sampled_from([20, 200, 2500]), _writes)
_simple = st.one_of(
    _touch,
    _touch,
    st.builds(_mmap, _place, _range, st.sampled_from([[], [], ["POPULATE"], ["LOCKED"]])),
    st.builds(_call, st.sampled_from(["munmap", "mlock", "munlock"]), _place, _range, _odd, st.just({})),
    st.builds(lambda p, w, o, prot: _call("mprotect", p, w, o, {"prot": prot}), _place, _range, _odd, st.sampled_from(PROTS)),
    st.builds(lambda p, w, o, a: _call("madvise", p, w, o, {"advice": a}), _place, _range, _odd, st.sampled_from(ADVICE)),
    st.builds(lambda p, w, o: _call("mlock2", p, w, o, {"flags": ["ONFAULT"]}), _place, _range, _odd),
    st.builds(lambda p, w: _call("mincore", p, w, 0, {}), _place, _range),
    st.builds(_mremap, _place, _range, _odd, _place, st.integers(0, UNITS)),
    st.builds(lambda us: {"sleep": f"{us} us"}, st.integers(1, 3000)),
    st.just({"show": {"files": ["smaps", "meminfo", "vmstat", "pagemap"]}}),
)
_family = st.builds(lambda steps: {"fork": {"steps": steps}}, st.lists(_simple, min_size=1, max_size=5))
_program = st.lists(st.one_of(_simple, _simple, _simple, _family), min_size=2, max_size=12)
_HANDLER = {"on_signal": {"signal": "SIGSEGV", "as": "at", "steps": [
    {"mmap": {"addr": f"page(at) & ~({UNIT} * PAGE_SIZE - 1)", "length": f"{UNIT} * PAGE_SIZE", "prot": ["READ", "WRITE"],
              "flags": ["FIXED", "PRIVATE", "ANONYMOUS"], "expect": "any"}},
    {"set": {"n": "n + 1"}}, {"if": {"cond": "n > 60", "then": [{"exit": {}}]}}]}}  # fmt: skip
MACHINE = st.fixed_dictionaries(
    {
        "arch": st.sampled_from(["x86_64", "x86_64", "s390x"]),
        "cpus": st.integers(1, 2),
        "ram": st.sampled_from(["8 MiB", "16 MiB", "24 MiB", "96 MiB", "600 MiB"]),
        "transparent_hugepage": st.sampled_from(["always", "always", "always", "madvise"]),
        "version": st.sampled_from(["4.3", "4.4"]),
        "seed": st.integers(1, 100),
    }
)


def _task(number: int, program: list[dict[str, Any]], start_us: int, touched: int) -> dict[str, Any]:
    maps = [_mmap(place, (0, UNITS), []) for place in sorted(PLACES)]
    maps += [_access(place, (0, UNITS), "sequential", touched, 1.0) for place in sorted(PLACES) if touched]
    return {
        "name": f"task{number}", "image": "none", "start": f"{start_us} us", "vars": {"n": 0}, "capabilities": ["CAP_IPC_LOCK"],
        "program": [_HANDLER, *maps, *program],
    }  # fmt: skip


@settings(max_examples=PROGRAMS, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    machine=MACHINE, swap=st.sampled_from([None, "1 MiB", "64 MiB"]), programs=st.lists(_program, min_size=1, max_size=2),
    begin=st.integers(0, 5000), touched=st.sampled_from([0, UNITS * UNIT]), stops=st.lists(st.integers(1, 30_000_000), max_size=6),
)  # fmt: skip
def test_any_program_keeps_the_laws_with_huge_pages(
    machine: dict[str, Any], swap: str | None, programs: list[list[dict[str, Any]]], begin: int, touched: int, stops: list[int]
) -> None:
    """verify at random times and at the end; the machine may not hang."""
    machine |= {"sysctl": {"vm.overcommit_memory": 1}, "devices": {"sda": {"type": "nvme"}}}
    machine |= {"swap": {"device": "sda", "size": swap}} if swap else {}
    built = start(tasks=[_task(i, program, i * begin, touched) for i, program in enumerate(programs)], **machine)
    ending = run_verified(built, stops)
    assert not ending.stuck, ending.report()
