"""Random small programs for Hypothesis: any steps in any order, on any architecture, with little memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

BIG = 64 * 1024  # bytes of a page of any profile, at most
REGION = 48  # pages of a region, of BIG bytes on all machines so that a file is long enough
PLACES = {name: f"{(i + 1) * 256} MiB" for i, name in enumerate("apsth")}
FLAGS = {
    "a": ["PRIVATE", "ANONYMOUS"],
    "p": ["PRIVATE"],
    "s": ["SHARED"],
    "t": ["SHARED"],
    "h": ["SHARED", "ANONYMOUS"],
}
FILES = {"p": "disk", "s": "disk", "t": "memory"}
PROTS = st.sampled_from([[], ["READ"], ["READ", "WRITE"]])

_region = st.sampled_from(sorted(PLACES))
_range = st.tuples(st.integers(0, REGION - 1), st.integers(1, REGION)).map(lambda r: (r[0], min(r[1], REGION - r[0])))


def at(region: str, page: int) -> str:
    """An address in a region."""
    return f"{PLACES[region]} + {page} * PAGE_SIZE"


def _mmap(region: str, where: tuple[int, int], prot: list[str], extra: list[str]) -> dict[str, Any]:
    first, pages = where
    step: dict[str, Any] = {"addr": at(region, first), "length": f"{pages} * PAGE_SIZE", "prot": prot, "expect": "any"}
    step["flags"] = ["FIXED", *FLAGS[region], *extra]
    if region in FILES:
        step |= {"file": FILES[region], "offset": f"{first} * PAGE_SIZE"}
    return {"mmap": step}


def _on_range(call: str, region: str, where: tuple[int, int], **more: Any) -> dict[str, Any]:
    return {call: {"addr": at(region, where[0]), "length": f"{where[1]} * PAGE_SIZE", "expect": "any", **more}}


def _access(region: str, where: tuple[int, int], kind: str, count: int, writes: float) -> dict[str, Any]:
    pattern: dict[str, Any] = {"type": kind} | ({"stride": 7} if kind == "stride" else {})
    step = {
        "region": at(region, where[0]),
        "length": f"{where[1]} * PAGE_SIZE",
        "pattern": pattern,
        "count": count,
        "write_fraction": writes,
    }
    return {"access": step | {"work": "200 ns"}}


def _on_file(call: str, file: str, where: tuple[int, int], odd: int) -> dict[str, Any]:
    """A call on a range of a file, or beyond its end by some pages; `odd` bytes into a page."""
    offset = f"{where[0]} * PAGE_SIZE + {odd}"
    step: dict[str, Any] = {"file": file, "expect": "any"}
    if call in ("pread", "pwrite"):
        step |= {"offset": offset, "length": f"{where[1]} * PAGE_SIZE - {odd // 2}"}
    elif call in ("read", "write"):
        step |= {"length": f"{where[1]} * 1000"}
    elif call == "fadvise":
        step |= {"advice": ["NORMAL", "RANDOM", "SEQUENTIAL", "WILLNEED", "DONTNEED"][where[0] % 5], "offset": offset}
    elif call == "sync_file_range":
        step |= {"flags": [["WRITE"], ["WAIT_BEFORE", "WRITE"], ["WAIT_AFTER"]][where[0] % 3], "offset": offset}
    return {call: step}


_FOR_RECLAIM = ("FREE", "FREE", "WILLNEED", "PAGEOUT")
_CALLS = ("pread", "pwrite", "pwrite", "read", "write", "fadvise", "fsync", "fdatasync", "sync_file_range")
_file_call = st.builds(
    _on_file, st.sampled_from(_CALLS), st.sampled_from(["disk", "memory", "new"]), _range, st.sampled_from([0, 0, 100, 4095])
)
simple_step = st.one_of(
    _file_call,
    _file_call,
    st.builds(lambda r, w: _on_range("msync", r, w, flags=["SYNC"]), _region, _range),
    st.just({"sync": {}}),
    st.builds(_mmap, _region, _range, PROTS, st.sampled_from([[], [], ["POPULATE"], ["LOCKED"], ["NORESERVE"]])),
    st.builds(_mmap, _region, _range, st.just(["READ", "WRITE"]), st.just([])),
    st.builds(_on_range, st.sampled_from(["munmap", "mlock", "munlock"]), _region, _range),
    st.builds(lambda r, w, p: _on_range("mprotect", r, w, prot=p), _region, _range, PROTS),
    st.builds(lambda r, w: _on_range("mlock2", r, w, flags=["ONFAULT"]), _region, _range),
    st.builds(
        _access,
        _region,
        _range,
        st.sampled_from(["sequential", "stride", "uniform", "graph"]),
        st.integers(1, 60),
        st.sampled_from([0.0, 0.5, 1.0]),
    ),
    st.builds(
        lambda f: {"mlockall": {"flags": f, "expect": "any"}},
        st.sampled_from([["CURRENT"], ["FUTURE"], ["CURRENT", "ONFAULT"], ["CURRENT", "FUTURE"]]),
    ),
    st.just({"munlockall": {"expect": "any"}}),
    st.builds(lambda r, w, a: _on_range("madvise", r, w, advice=a), st.sampled_from("aapht"), _range, st.sampled_from(_FOR_RECLAIM)),
    st.builds(lambda us: {"compute": f"{us} us"}, st.integers(1, 300)),
    st.builds(lambda us: {"sleep": f"{us} us"}, st.integers(1, 300)),
)
_ADVICE = ("NORMAL", "SEQUENTIAL", "WILLNEED", "DONTNEED", "FREE", "REMOVE", "DONTFORK", "MERGEABLE", "HUGEPAGE", "DONTDUMP", "COLD")
_ADVICE += ("PAGEOUT", "POPULATE_READ", "POPULATE_WRITE", "WIPEONFORK", "DONTNEED_LOCKED", "HWPOISON")
_calls = st.one_of(
    st.builds(lambda r, w, a: _on_range("madvise", r, w, advice=a), _region, _range, st.sampled_from(_ADVICE)),
    st.builds(lambda r, w, f: _on_range("msync", r, w, flags=f), _region, _range, st.sampled_from(["ASYNC", "SYNC", "INVALIDATE"])),
    st.builds(lambda r, w: _on_range("mincore", r, w), _region, _range),
    st.builds(
        lambda r, w, flags, to, more: {
            "mremap": {
                "addr": at(r, w[0]), "old_length": f"{w[1]} * PAGE_SIZE", "new_length": f"{w[1] + more} * PAGE_SIZE",
                "flags": flags, "new_addr": at(to, 0), "expect": "any",
            }
        },
        _region,
        _range,
        st.sampled_from([[], ["MAYMOVE"], ["MAYMOVE", "FIXED"], ["MAYMOVE", "DONTUNMAP"]]),
        _region,
        st.integers(0, 3),
    ),
    st.builds(
        lambda f, pages: {"ftruncate": {"file": f, "length": f"{pages} * PAGE_SIZE + 7", "expect": "any"}},
        st.sampled_from(sorted(set(FILES.values()))),
        st.integers(0, REGION),
    ),
    st.builds(
        lambda mode, first, pages: {
            "fallocate": {"file": "memory", "mode": mode, "offset": first * 4096, "length": pages * 4096, "expect": "any"}
        },
        st.sampled_from([[], ["KEEP_SIZE"], ["PUNCH_HOLE", "KEEP_SIZE"]]),
        st.integers(0, REGION),
        st.integers(1, 8),
    ),
    st.builds(lambda pages: {"brk": {"addr": f"0x450000 + {pages} * PAGE_SIZE + 5", "expect": "any"}}, st.integers(0, 40)),
    st.builds(
        lambda name, value: {"sysctl": {"name": name, "value": value, "expect": "any"}},
        st.sampled_from(["vm.drop_caches", "vm.max_map_count", "vm.overcommit_memory"]),
        st.integers(0, 30),
    ),
    st.builds(
        lambda what, soft: {"setrlimit": {"resource": what, "soft": soft, "expect": "any"}},
        st.sampled_from(["RLIMIT_MEMLOCK", "RLIMIT_AS", "RLIMIT_DATA"]),
        st.sampled_from([0, 65536, 1 << 40]),
    ),
    st.builds(lambda on: {"prctl": {"option": "PR_SET_THP_DISABLE", "value": on}}, st.integers(0, 1)),
    st.sampled_from([{"exec": {}}, {"memfd_create": {"as": "fd"}}, {"getrusage": {"field": "ru_maxrss", "as": "rss"}}]),
)
_steps = st.lists(simple_step, min_size=1, max_size=8)
_step = st.one_of(
    simple_step, simple_step, _calls, st.builds(lambda n, s: {"loop": {"count": n, "steps": s}}, st.integers(1, 3), _steps)
)

_OPEN = {"mprotect": {"addr": "page(at)", "length": "2 * PAGE_SIZE", "prot": ["READ", "WRITE"], "expect": "any"}}
_FILL = {
    "mmap": {"addr": "page(at)", "length": "4 * PAGE_SIZE", "flags": ["PRIVATE", "ANONYMOUS", "FIXED"], "expect": "any"}
}
_GIVE_UP = {"if": {"cond": "n > 40", "then": [{"exit": {}}]}}  # a handler that can't help would be called for ever
_HANDLER = {
    "on_signal": {
        "signal": "SIGSEGV",
        "as": "at",
        "steps": [_OPEN, {"if": {"cond": "n % 2", "then": [_FILL]}}, {"set": {"n": "n + 1"}}, _GIVE_UP],
    }
}


def a_task(
    number: int, program: list[Mapping[str, Any]], handler: bool, image: str, start: int, privileged: bool
) -> dict[str, Any]:
    """A task that begins at `start` µs, with a handler that opens what it may not use, if it is to have one."""
    return {
        "name": f"task{number}",
        "image": image,
        "start": f"{start} us",
        "vars": {"n": 0},
        "program": [*([_HANDLER] if handler else []), *program],
        "capabilities": ["CAP_IPC_LOCK"] if privileged else [],
    }


@st.composite
def machines(draw: st.DrawFn) -> dict[str, Any]:
    """Keyword arguments of `scenario.start`."""
    arch = draw(st.sampled_from(["x86_64", "x86_64", "arm", "s390x"]))
    cpus = draw(st.integers(1, 2))
    flags = st.booleans()
    count = draw(st.integers(1, 3))
    images = st.sampled_from(["none", "dynamic"]) if arch == "x86_64" else st.just("none")
    tasks = [
        a_task(
            i,
            draw(st.lists(_step, min_size=2, max_size=14)),
            draw(flags),
            draw(images),
            draw(st.integers(0, 500)),
            draw(flags),
        )
        for i in range(count)
    ]
    return {
        "tasks": tasks,
        "arch": arch,
        "cpus": cpus,
        "ram": draw(st.sampled_from(["8 MiB", "64 MiB"])),
        "version": draw(st.sampled_from(["4.3", "4.4", "4.4", "6.1", "6.18"])),
        "files": {
            "disk": {"size": REGION * BIG, "cached": draw(st.sampled_from(["none", "50 %"])), "device": "sda"},
            "memory": {"size": REGION * BIG, "fs": "tmpfs"},
            "new": {"size": 0, "device": "sda"},
        },
        "sysctl": {"vm.max_map_count": draw(st.sampled_from([65530, 25]))},
        "seed": draw(st.integers(1, 100)),
    }
