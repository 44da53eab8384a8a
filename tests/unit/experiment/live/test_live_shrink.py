"""Shrinking, without a kernel: what remains still shows the difference and is as small as it can be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmsim.experiment.live.generator import PROFILES, generate
from vmsim.experiment.live.program import HARD_MEMLOCK, Op, Program
from vmsim.experiment.live.shrink import Shrinker


def all_ops(program: Program) -> list[Op]:
    return [each for op in program.ops for each in (op, *op.get("ops", ()))]


def has(name: str, **least: int) -> Callable[[Program], bool]:
    """Whether a program has an operation of a name with arguments of at least so much."""

    def shows(program: Program) -> bool:
        return any(op["op"] == name and all(op[field] >= value for field, value in least.items()) for op in all_ops(program))

    return shows


def shrink(program: Program, shows: Callable[[Program], bool]) -> Program:
    assert shows(program)
    shrunk = Shrinker(shows).shrink(program)
    assert shows(shrunk)
    return shrunk


def seeds(profile: str, shows: Callable[[Program], bool]) -> list[Program]:
    return [program for program in (generate(seed, profile) for seed in range(30)) if shows(program)][:5]


@pytest.mark.parametrize(("profile", "name", "least"), [("mlock", "mlock", {"len": 12288}), ("file", "read", {"n": 3})])
def test_one_call_remains(profile: str, name: str, least: dict[str, int]) -> None:
    """A difference that one operation shows is shrunk to it, with the smallest argument that shows it, on the plainest machine."""
    for program in seeds(profile, has(name, **least)):
        shrunk = shrink(program, has(name, **least))
        (op,) = shrunk.ops
        assert op["addr"] == [0, 0]
        assert [op[field] for field in least] == list(least.values())
        assert (shrunk.drop_caps, shrunk.soft_memlock, shrunk.cached) == (False, HARD_MEMLOCK, (1 << 64) - 1)


def test_order_matters() -> None:
    """A write before an munmap of the same page: the two remain, and their addresses stay together."""

    def shows(program: Program) -> bool:
        written: set[int] = set()
        for op in program.ops:
            if op["op"] == "write":
                written |= {op["addr"][0] + i * op["stride"] for i in range(op["n"])}
            if op["op"] == "munmap" and op["addr"][1] == 0:
                page, pages = op["addr"][0], -(-op["len"] // 4096)
                if any(page <= at < page + pages for at in written):
                    return True
        return False

    found = seeds("basic", shows)
    assert len(found) > 2
    for program in found:
        write, munmap = shrink(program, shows).ops
        assert (write["op"], write["n"], write["addr"]) == ("write", 1, [0, 0])
        assert (munmap["op"], munmap["addr"], munmap["len"]) == ("munmap", [0, 0], 4096)


def test_what_only_a_child_shows() -> None:
    """A fork whose child writes: the fork with one write; where the parent's write shows it as well, no fork remains."""

    def child_writes(program: Program) -> bool:
        return any(child["op"] == "write" for op in program.ops for child in op.get("ops", ()))

    program = seeds("fork", child_writes)[0]
    (fork,) = shrink(program, child_writes).ops
    assert [child["op"] for child in fork["ops"]] == ["write"]
    (write,) = shrink(program, has("write")).ops
    assert write["op"] == "write"


@given(st.integers(0, 10_000), st.sampled_from(PROFILES), st.data())
@settings(max_examples=25, deadline=None)
def test_nothing_more_can_be_left_out(seed: int, profile: str, data: st.DataObject) -> None:
    """For a difference that needs some kinds of operations in an order, no operation can be left out of what remains."""
    program = generate(seed, profile, 20)
    kinds = [op["op"] for op in program.ops]
    wanted = data.draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3))

    def shows(candidate: Program) -> bool:
        names = iter(op["op"] for op in candidate.ops)
        return all(kind in names for kind in wanted)

    if shows(program):
        assert len(shrink(program, shows).ops) == len(wanted)


def test_time_runs_out() -> None:
    """With no tries left the program is what it was; it is never a program that does not show the difference."""
    program = generate(1, "all")
    assert Shrinker(lambda candidate: True, most_tries=0).shrink(program) == program
    few = Shrinker(has("mmap"), most_tries=3)
    assert has("mmap")(few.shrink(program))
    assert few.tries <= 3
