"""The recorded programs (truth/wl.c) as programs of vmsim, with the same calls in the same order and the same random numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from vmsim.experiment.validate.machine import FILE_BYTES, PAGE, PROGRAM_ANON, PROGRAM_FILE
from vmsim.experiment.validate.recording import Run
from vmsim.experiment.validate.sequences import mixed_rounds, mixed_sequences, second_pass
from vmsim.spec.kernels import kernel_line
from vmsim.spec.steps import STEPS

Steps = list[dict[str, Any]]
PATTERN: Final = "drawn"  # the name of the pattern whose numbers the program's hash covers
READS: Final = "reads"
AGAIN: Final = "again"
IMAGE: Final = "image"
NEW: Final = "new"
ROOT: Final = ["CAP_IPC_LOCK", "CAP_SYS_ADMIN", "CAP_SYS_RESOURCE"]
_ADVICE = {"random": "RANDOM", "sequential": "SEQUENTIAL", "willneed": "WILLNEED"}
_PRIVATE = ["MAP_PRIVATE", "MAP_ANONYMOUS", "MAP_NORESERVE"]
_RW = ["PROT_READ", "PROT_WRITE"]

# Where the program's own VMAs lie: 17, of 429 pages, of which 347 are resident, under 4 page tables and 3 directories.
_TEXT = 0x40_0000
_CLOCK = _TEXT + 2 * PAGE
_LIBRARY = 0x7FFF_F800_0000 + 64 * PAGE
_STACK = 0x7FFE_0000_0000
_HUGE = 512  # pages of a huge page
_HUGE_ARENA = 0x7000_0000_0000
_FIXED = ["MAP_PRIVATE", "MAP_ANONYMOUS", "MAP_FIXED", "MAP_NORESERVE"]


@dataclass(frozen=True)
class Program:
    """A recorded program: its steps, and for replayed patterns by name what they replay (page, or page << 1 | write)."""

    steps: Steps
    replays: Mapping[str, list[int]]
    writes: frozenset[str] = frozenset()  # replays whose numbers have a write bit
    seq_hash: str | None = None  # of a replay, whose numbers were drawn beforehand


class NotSimulated(Exception):
    """What a recording needs that vmsim doesn't do yet."""


def own_memory(locked: bool, tables: int = 0) -> Steps:
    """The program's own mappings: text and library resident and locked (they lie on ramfs), buffers, data and stack.

    What is resident of its `tables` is among the pages that aren't free at the start: they are there for their number only.
    """
    library = {"addr": _LIBRARY, "length": PROGRAM_FILE * PAGE}
    steps: Steps = [
        {"mmap": {**library, "prot": ["PROT_READ"], "file": IMAGE, "flags": ["MAP_PRIVATE", "MAP_FIXED"]}},
        {"mlock": library},
        {"mmap": {"addr": _STACK, "length": PROGRAM_ANON * PAGE, "prot": _RW, "flags": _FIXED}},
        {"mlock": {"addr": _STACK, "length": PROGRAM_ANON * PAGE}},
    ]  # fmt: skip
    rest = [_TEXT + 2 * PAGE * i for i in range(13 + tables)] + [_LIBRARY + 512 * PAGE]
    steps += [{"mmap": {"addr": address, "length": PAGE, "prot": ["PROT_READ"], "flags": _FIXED}} for address in rest]
    steps.append({"mmap": {"addr": _TEXT + 128 * PAGE, "length": 68 * PAGE, "prot": ["PROT_NONE"], "flags": _FIXED}})
    steps += [{"touch": {"addr": address}} for address in (_TEXT, rest[-1])]
    if not locked:
        steps.append({"munlock": {"addr": _STACK, "length": PROGRAM_ANON * PAGE}})
    return steps


def pattern(run: Run, name: str = PATTERN) -> dict[str, Any]:
    """The run's pattern with its generator."""
    kinds: dict[str, dict[str, Any]] = {
        "seq": {"type": "sequential"}, "rand": {"type": "uniform"}, "hot": {"type": "hotcold"},
        "zipf": {"type": "zipf", "theta": float(run.params.get("theta", "0.99"))},
        "stride": {"type": "stride", "stride": run.number("stride", 1)},
    }  # fmt: skip
    kind = run.params.get("pat", "seq" if run.mode == "ra" else "rand")
    if kind not in kinds:
        raise NotSimulated(f"pattern {kind}")
    return {**kinds[kind], "generator": "xorshift64", "state": run.seed, "name": name}


def _arena(run: Run) -> Steps:
    """The memory that a program works on, without huge pages unless it asks for them."""
    length = run.number("pages", 1000) * PAGE
    if run.number("thp", 0):
        start = _HUGE_ARENA - head_pages(run) * PAGE
        arena = {"addr": start, "length": length, "prot": _RW, "flags": _FIXED, "as": "map"}
        return [{"mmap": arena}, {"madvise": {"addr": "map", "length": length, "advice": "MADV_HUGEPAGE"}}]
    return [{"mmap": {"length": run.number("pages", 1000) * PAGE, "prot": _RW, "flags": _PRIVATE, "as": "map"}}]


def head_pages(run: Run) -> int:
    """Pages of the arena before its first huge page, where address-space randomisation put it.

    Told by who wrote the beginning of shared memory: a fault for each of them, and one for each huge page.
    """
    for phase in ("parent_write_while_child_alive", "child_access"):
        counts = run.counts(phase)
        if counts.get("thp_fault_alloc"):
            return (counts["pgfault"] - counts["thp_fault_alloc"]) % _HUGE
    return 1


def _populate(run: Run) -> Steps:
    touch = {"region": "map", "pattern": {"type": "sequential"}, "count": run.number("pages", 1000), "op": "write"}
    return [{"phase": {"name": "populate", "steps": [{"access": touch}]}}] if run.number("populate", 1) else []


def _writes(run: Run) -> dict[str, Any]:
    part = float(run.params.get("wf", "0.5"))
    return {"op": "write"} if part >= 1 else {"op": "read"} if part <= 0 else {"write_fraction": part}


def anon(run: Run) -> Program:
    """Accesses to anonymous memory that was written once."""
    burst = {"region": "map", "pattern": pattern(run), "count": run.number("n", 200000), **_writes(run)}
    steps = [*_arena(run), *_populate(run), {"phase": {"name": "run", "steps": [{"access": burst}]}}]
    if run.number("unmap", 0):
        length = run.number("pages", 1000) * PAGE
        steps.append({"phase": {"name": "munmap", "steps": [{"munmap": {"addr": "map", "length": length}}]}})
    return Program(steps, {})


def mixed(run: Run) -> Program:
    """Accesses to anonymous memory between reads of pieces of a file, in order or at random."""
    chunk = run.number("chunk", 1) * PAGE
    chunks, per = run.number("filepages", 1000) // run.number("chunk", 1), run.number("per", 1)
    access: dict[str, Any] = {"region": "map", "pattern": pattern(run), "count": per, **_writes(run)}
    replays: dict[str, list[int]] = {}
    seq_hash = None
    place: Steps = [{"set": {"offset": f"(round % {chunks}) * {chunk}"}}]
    if run.params.get("fpat", "seq") == "rand":
        pieces, accesses, seq_hash = mixed_sequences(run)
        replays = {READS: pieces, PATTERN: accesses}
        access = {"region": "map", "pattern": replay(PATTERN, len(accesses)), "count": per}
        draw = {"region": 0, "length": chunks * PAGE, "pattern": replay(READS, len(pieces)), "as": "piece"}
        place = [{"draw": draw}, {"set": {"offset": f"piece * {chunk // PAGE}"}}]
    read = {"pread": {"file": "big", "length": chunk, "offset": "offset"}}
    loop = {"count": mixed_rounds(run), "as": "round", "steps": [*place, read, *([{"access": access}] if per else [])]}
    steps = [*_arena(run), *_populate(run), {"phase": {"name": "run", "steps": [{"loop": loop}]}}]
    return Program(steps, replays, frozenset({PATTERN} & set(replays)), seq_hash)


def replay(name: str, length: int) -> dict[str, Any]:
    """A pattern that gets its `length` numbers when the machine is built."""
    return {"type": "replay", "pages": [0] * length, "name": name}


def lof(run: Run) -> Program:
    """The lock-on-fault program."""
    mode, count, is_anon = run.params.get("mode", "plain"), run.number("n", 100000), run.params.get("file") == "anon"
    length = run.number("pages", 1000) * PAGE
    kind = "MAP_SHARED" if run.number("shared", 0) else "MAP_PRIVATE"
    prot = ["PROT_NONE"] if mode == "segv" else _RW if is_anon else ["PROT_READ"]
    where = {"flags": [kind, "MAP_ANONYMOUS"]} if is_anon else {"file": "big", "flags": [kind]}
    setup: Steps = [{"mmap": {"length": length, "prot": prot, **where, "as": "map"}}]
    if mode == "mlock":
        setup.append({"mlock": {"addr": "map", "length": length, "expect": "any"}})
    elif mode == "onfault":
        setup.append({"mlock2": {"addr": "map", "length": length, "flags": ["ONFAULT"], "expect": "any"}})
    steps: Steps = [*_handler(run, length)] if mode == "segv" else []
    body: Steps = [{"access": {"region": "map", "length": length, "pattern": pattern(run), "count": count}}]
    if mode == "each":
        each = [
            {"draw": {"region": "map", "length": length, "pattern": pattern(run), "as": "page"}},
            {"mlock": {"addr": "page", "length": PAGE}},
            {"touch": "page"},
        ]
        body = [{"loop": {"count": count, "steps": each}}]
    return Program([*steps, {"phase": {"name": "setup", "steps": setup}}, {"phase": {"name": "run", "steps": body}}], {})


def _handler(run: Run, length: int) -> Steps:
    steps: Steps = [
        {"set": {"bytes": f"min({run.number('batch', 1) * PAGE}, map + {length} - at)"}},
        {"mprotect": {"addr": "at", "length": "bytes", "prot": ["PROT_READ"]}},
    ]
    if run.number("lockit", 1):
        steps.append({"mlock": {"addr": "at", "length": "bytes"}})
    return [{"on_signal": {"signal": "SIGSEGV", "as": "at", "steps": steps}}]


def maxmap(run: Run) -> Program:
    """Splitting or making mappings until there are too many; then which calls still work."""
    mode, pages, step = run.params.get("mode", "prot"), run.number("pages", 140000), run.number("step", 2)
    prot = ["PROT_NONE"] if mode == "prot" else ["PROT_READ"]
    at = {"addr": f"map + (1 + round * {step}) * {PAGE}", "length": PAGE, "expect": "any", "as": "result"}
    call: Steps = [{"mlock": at}]
    rounds = (pages - 2) // step + 1
    if mode == "prot":
        call = [{"mprotect": {**at, "prot": ["PROT_READ"]}}]
    elif mode == "onfault":
        call = [{"mlock2": {**at, "flags": ["ONFAULT"]}}]
    elif mode == "mmap":
        rounds = 70_000
        one = {"length": PAGE, "flags": _PRIVATE, "expect": "any", "as": "result"}
        odd, even = ([{"mmap": {**one, "prot": [prot]}}] for prot in ("PROT_READ", "PROT_NONE"))
        call = [{"if": {"cond": "round & 1", "then": odd, "else": even}}]
    failed = "result < 0 and result > -4096"
    loop = {"count": rounds, "as": "round", "steps": [{"if": {"cond": "errno == 0", "then": [*call, {"if": {
        "cond": failed, "then": [{"set": {"errno": "0 - result"}}], "else": [{"set": {"done": "done + 1"}}]}}]}}]}  # fmt: skip
    body = [{"mmap": {"length": pages * PAGE, "prot": prot, "flags": _PRIVATE, "as": "map"}}]
    after: Steps = [
        {"mprotect": {"addr": "map", "length": PAGE, "prot": ["PROT_NONE"], "expect": "any", "as": "after_mprotect"}},
        {"mmap": {"length": PAGE, "prot": _RW, "flags": ["MAP_PRIVATE", "MAP_ANONYMOUS"], "expect": "any", "as": "after_mmap"}},
        {"munmap": {"addr": "map", "length": PAGE, "expect": "any", "as": "after_munmap"}},
    ]
    return Program([*body, {"phase": {"name": "run", "steps": [{"loop": loop}]}}, *after], {})


def ra(run: Run) -> Program:
    """Reading a file by calls or through a mapping, once or twice."""
    pages, count, chunk = run.number("pages", 1000), run.number("n", 1000), run.number("chunk", 1)
    first, advice = run.number("off", 0) * PAGE, run.params.get("advice", "normal")
    mapped = run.params.get("via", "read") == "mmap"
    steps: Steps = []
    if mapped:
        flags = ["MAP_SHARED" if run.number("shared", 0) else "MAP_PRIVATE"]
        steps.append({"mmap": {"length": pages * PAGE, "prot": ["PROT_READ"], "file": "big", "flags": flags, "as": "map"}})
        if advice in _ADVICE:
            steps.append({"madvise": {"addr": "map", "length": pages * PAGE, "advice": f"MADV_{_ADVICE[advice]}"}})
    elif advice in _ADVICE:
        steps.append({"fadvise": {"file": "big", "advice": f"FADV_{_ADVICE[advice]}"}})

    def pass_(drawn: dict[str, Any], first: int) -> Steps:
        if mapped:
            region = f"map + {first}" if first else "map"
            return [{"access": {"region": region, "length": pages * PAGE, "pattern": drawn, "count": count}}]
        draw = {"region": first, "length": pages * PAGE, "pattern": drawn, "as": "offset"}
        read = {"file": "big", "length": chunk * PAGE, "offset": "offset"}
        return [{"loop": {"count": count, "steps": [{"draw": draw}, {"pread": read}]}}]

    steps.append({"phase": {"name": "run", "steps": pass_(pattern(run), first)}})
    if not run.number("again", 0):
        return Program(steps, {})
    # The second time it begins at the start of the file; what isn't in some order is uniform, and goes on with the same random numbers.
    kind = run.params.get("pat", "seq")
    uniform = kind in ("zipf", "hot")
    drawn = replay(AGAIN, count) if uniform else pattern(run, PATTERN if kind == "rand" else AGAIN)
    steps.append({"phase": {"name": "again", "steps": pass_(drawn, 0)}})
    return Program(steps, {AGAIN: second_pass(run, count)} if uniform else {})


def fork(run: Run) -> Program:
    """A parent and its children that read and write the same pages, each in its turn."""
    if "fork" not in STEPS:
        raise NotSimulated("fork in programs")
    children = run.number("children", 1)

    def part(count: int, op: str) -> Steps:
        return [{"access": {"region": "map", "pattern": {"type": "sequential"}, "count": count, "op": op}}] if count else []

    def phase(name: str, *steps: dict[str, Any]) -> dict[str, Any]:
        return {"phase": {"name": name, "steps": list(steps)}}

    child = [{"wait_for": "go"}, *part(run.number("rchild", 0), "read"), *part(run.number("wchild", 0), "write")]
    child += [{"post": "done"}, {"wait_for": "leave"}]
    pages = run.number("pages", 10000)
    turns = [step for _ in range(children) for step in ({"post": "go"}, {"wait_for": "done"})]
    steps = [
        *_arena(run), phase("populate", *part(pages, "write")),
        phase("fork", *({"fork": {"steps": child}} for _ in range(children))), phase("child_access", *turns),
        phase("parent_write_while_child_alive", *part(run.number("wparent", 0), "write")),
        phase("child_exit", *({"post": "leave"} for _ in range(children)), {"wait": {}}),
        phase("parent_write_all_after_exit", *part(pages, "write")),
    ]  # fmt: skip
    return Program(steps, {})


def fw(run: Run) -> Program:
    """Writing a new file, then fsync."""
    chunk = run.number("chunk", 16)
    write = {"loop": {"count": run.number("pages", 1000) // chunk, "steps": [{"write": {"file": NEW, "length": chunk * PAGE}}]}}
    return Program([{"phase": {"name": "write", "steps": [write]}}, {"phase": {"name": "fsync", "steps": [{"fsync": NEW}]}}], {})


_MODES: Mapping[str, Callable[[Run], Program]] = {
    "anon": anon, "mixed": mixed, "lof": lof, "maxmap": maxmap, "ra": ra, "fork": fork, "fw": fw,
}  # fmt: skip
_UNLOCKED = frozenset({"maxmap", "fork", "hog"})  # modes that do not lock all of the program's memory


def program_of(run: Run) -> Program:
    """The program of a recorded run. Raises NotSimulated."""
    if run.mode not in _MODES:
        raise NotSimulated(f"programs of mode {run.mode}")
    return _MODES[run.mode](run)


def tasks(programs: Iterable[tuple[Run, Program]], cpus: int, version: str) -> list[dict[str, Any]]:
    """The tasks of a boot's runs, one after the other."""
    return [
        {
            "name": f"run{number}", "image": "none", "capabilities": ROOT, "start": f"{number * 3600} s", "vars": _variables(run),
            "program": [*_own(run), *_moved(run, cpus), *_timed(program.steps, version)],
        }
        for number, (run, program) in enumerate(programs)
    ]  # fmt: skip


def _own(run: Run) -> Steps:
    return own_memory(run.mode not in _UNLOCKED, tables=2 if run.params.get("pat") == "zipf" else 0)


def _moved(run: Run, cpus: int) -> Steps:
    """What a program does that has drawn its permutation, which takes it seconds, where there is more than one CPU: it has been on both.

    Model: the kernel's own threads push it from one to the other in that time. Here a thread of its own runs on the other for a moment.
    """
    if cpus == 1 or run.params.get("pat") != "zipf":
        return []
    return [{"clone": {"steps": [{"compute": "1 us"}]}}, {"wait": {}}]


def _timed(steps: Steps, version: str) -> Steps:
    """The steps of a program that takes the time when its first phase begins, which since 4.5 is a fault.

    arch/x86/entry/vdso/vma.c: vvar_fault; before, map_vdso mapped the kernel's clock together with the program. Here it is a page of zeros.
    """
    if kernel_line(version) == "4.4":
        return steps
    first = next(number for number, step in enumerate(steps) if "phase" in step)
    phase = steps[first]["phase"]
    timed = {"phase": {**phase, "steps": [{"touch": {"addr": _CLOCK}}, *phase["steps"]]}}
    return [*steps[:first], timed, *steps[first + 1 :]]


def _variables(run: Run) -> dict[str, int]:
    if run.mode == "maxmap":
        return {"errno": 0, "done": 0, "result": 0, "map": 0}
    return {"map": 0} if run.mode == "lof" and run.params.get("mode") == "segv" else {}


def files(run: Run | None) -> dict[str, Any]:
    """The big file on the first disk, and what stands for the program's own files, in memory."""
    kib = int(run.data.get("sysctl", {}).get("vda_read_ahead_kb", 128)) if run else 128
    big = {"size": FILE_BYTES, "fs": "ext2", "device": "vda", "read_ahead": f"{kib} KiB"}
    image = {"size": PROGRAM_FILE * PAGE, "device": "vda", "cached": "all"}
    return {"big": big, IMAGE: image, **({NEW: {"size": 0, "fs": "ext2", "device": "vda"}} if run and run.mode == "fw" else {})}
