"""Recorded OOM tests: programs that fill memory one after the other, who was killed, and with which score."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from vmsim.experiment.validate.checks import EXACT, TOLD_ONLY, Check, Value
from vmsim.experiment.validate.machine import PAGE, PROGRAM_ANON, PROGRAM_FILE, kernel_spec, machine_spec
from vmsim.experiment.validate.programs import ROOT, NotSimulated, files, own_memory
from vmsim.experiment.validate.recording import Case, Result, Run
from vmsim.machine.build import Built, build
from vmsim.mm.oom_kill import NEVER, badness_of
from vmsim.spec.experiment import Scenario
from vmsim.spec.model import Reading
from vmsim.struct import reclaim as rc
from vmsim.struct import tasks as t
from vmsim.struct.kernel import SC_TOTALRAM
from vmsim.struct.rules import R_OOM_BADNESS_EXACT, R_OOM_ROOT_BONUS
from vmsim.units import KIB, NS_PER_S

OWN_PAGES: Final = {"4": 429, "6": 430}  # pages of the program's own mappings, of which `own_memory` has as many, by kernel
_SYNC_FAULTS: Final = 66
_OWN_FAULTS: Final = 58  # of the program before it fills memory, modulo 66; fitted to the rss that reports show
_TURN_S: Final = 30  # simulated seconds from one program's start to the next's
_DONE = re.compile(r"name=(\S+) pages=(\d+) adj=(-?\d+) pid=(\d+) oom_score=(\d+)")
_KILL = re.compile(r"Kill process (\d+) \((\w+)\) score (\d+)")
_KILL_6 = re.compile(r"Killed process (\d+) \((\w+)\) total-vm:(\d+)kB, anon-rss:(\d+)kB.*pgtables:(\d+)kB oom_score_adj:(-?\d+)")
_KILLED = re.compile(r"Killed process (\d+) \((\w+)\) total-vm:(\d+)kB")
_ROW = re.compile(r"\[ *(\d+)\] +\d+ +\d+ +(\d+) +(\d+) +(?:\d+ +){2,4}(-?\d+) (\w+)")


@dataclass(frozen=True)
class Hog:
    """One program of an OOM test."""

    pid: int
    name: str
    pages: int
    adj: int
    score: int | None  # that it told when it was done; None: it never was


@dataclass(frozen=True)
class Kill:
    """One victim: a program's pid, or that of something else; its score where the kernel told it."""

    pid: int
    command: str
    score: int | None


def hogs_of(result: Result) -> list[Hog]:
    """The programs in the order of their pids: those that told that they were done, and those that the reports of kills show."""
    done = {int(m[4]): Hog(int(m[4]), m[1], int(m[2]), int(m[3]), int(m[5])) for line in result.hogs if (m := _DONE.search(line))}
    own = OWN_PAGES["4" if "score " in result.raw else "6"]
    for match in _ROW.finditer(result.raw):
        if match[5] == "wl":
            done.setdefault(int(match[1]), Hog(int(match[1]), "", int(match[2]) - own, int(match[4]), None))
    for match in _KILLED.finditer(result.raw):
        if match[2] == "wl":
            done.setdefault(int(match[1]), Hog(int(match[1]), "", int(match[3]) * KIB // PAGE - own, 0, None))
    names = iter(name for name in "ABCDEFGH" if name not in {hog.name for hog in done.values()})
    last = "D" if "D" not in {hog.name for hog in done.values()} else None
    return [
        hog if hog.name else Hog(hog.pid, last or next(names), hog.pages, hog.adj, None) for hog in (done[pid] for pid in sorted(done))
    ]


def kills_of(result: Result) -> list[Kill]:
    """The victims in their order; the log shows each twice."""
    found: dict[int, Kill] = {}
    for match in _KILL.finditer(result.raw):
        found.setdefault(int(match[1]), Kill(int(match[1]), match[2], int(match[3])))
    if not found:
        for match in _KILL_6.finditer(result.raw):
            found.setdefault(int(match[1]), Kill(int(match[1]), match[2], None))
    return list(found.values())


def oom_checks(case: Case, costs: Mapping[str, Any]) -> Iterator[Check]:
    """Who died in which order, with which score, and what the survivors' scores were when they were done."""
    hogs = hogs_of(case.first)
    if not hogs:
        raise NotSimulated("OOM tests whose programs are not told")
    names = [_victims(result) for result in case.results]
    built, scores = _run(case, hogs, costs)
    killed = _killed(built, hogs)
    yield Check("victims", min(names), max(names), " ".join(name for name, _ in killed) or "none", EXACT)
    recorded = [[kill.score for kill in kills_of(result) if kill.command == "wl"] for result in case.results]
    done = [other for result in case.results for other in hogs_of(result)]
    for number, (name, score) in enumerate(killed):
        yield from _score_check(f"score of {name}", [row[number] for row in recorded if number < len(row)], score)
    for hog in hogs:
        told = [other.score for other in done if other.name == hog.name]
        yield from _score_check(f"oom_score of {hog.name} when done", told, scores.get(hog.name, -1))
    others = sum(kill.command != "wl" for kill in kills_of(case.first))
    yield Check("victims that are not simulated", others, others, 0, TOLD_ONLY)


def _score_check(what: str, told: list[int | None], simulated: Value) -> Iterator[Check]:
    """A score against those that were told, if any was."""
    shown = [score for score in told if score is not None]
    if shown:
        yield Check(what, min(shown), max(shown), simulated, EXACT)


def _victims(result: Result) -> str:
    names = {hog.pid: hog.name for hog in hogs_of(result)}
    return " ".join(names.get(kill.pid, kill.command) for kill in kills_of(result) if kill.command == "wl") or "none"


def _run(case: Case, hogs: list[Hog], costs: Mapping[str, Any]) -> tuple[Built, dict[str, int]]:
    run = Run("hog", {})
    machine = machine_spec(case.first, run, case.kernel, costs)
    tasks = [
        {
            "name": hog.name, "image": "none", "capabilities": ROOT, "start": f"{number * _TURN_S} s",
            "program": [*own_memory(locked=False), *_fill(hog), {"sleep": f"{(len(hogs) + 1 - number) * _TURN_S} s"}],
        }
        for number, hog in enumerate(hogs)
    ]  # fmt: skip
    data = {"machine": machine, "kernel": kernel_spec(case.first, None, case.kernel), "files": files(None), "tasks": tasks}
    built = build(Scenario.model_validate(data, context=Reading()))
    scores: dict[str, int] = {}
    for number, (hog, task) in enumerate(zip(hogs, built.tasks, strict=True)):
        built.kernel.task[task.tid, t.T_OOM_ADJ] = hog.adj
        when = ((number + 1) * _TURN_S - 1) * NS_PER_S
        built.machine.at(when, partial(_note, scores, built, hog, task.tid))
    # Where nobody is left to be killed the kernel panics, and vmsim waits for ever.
    built.machine.run(until_ns=len(hogs) * _TURN_S * NS_PER_S)
    return built, scores


def _note(scores: dict[str, int], built: Built, hog: Hog, tid: int, _: int) -> None:
    scores[hog.name] = _score(built, tid, hog.pages)


def _fill(hog: Hog) -> list[dict[str, Any]]:
    flags = ["MAP_PRIVATE", "MAP_ANONYMOUS", "MAP_NORESERVE"]
    touch = {"region": "map", "pattern": {"type": "sequential"}, "count": hog.pages, "op": "write"}
    return [{"mmap": {"length": hog.pages * PAGE, "flags": flags, "as": "map"}}, {"access": touch}]


def _score(built: Built, tid: int, pages: int) -> int:
    """What /proc/PID/oom_score shows of a program that has touched so many pages (fs/proc/base.c: proc_oom_score)."""
    points = int(badness_of(built.kernel.k, tid))
    return 0 if points == NEVER else _shown(built, points, pages)


def _shown(built: Built, points: int, pages: int) -> int:
    """A score as the kernel shows it, which does not know of a task's last faults yet (root's 3 % are off already)."""
    rule = built.kernel.rule
    seen = points - (_unsynced(pages) * 97 // 100 if rule[R_OOM_ROOT_BONUS] else _unsynced(pages))
    total = int(built.kernel.sc[SC_TOTALRAM] + built.kernel.node[rc.N_SWAP_TOTAL])
    if not rule[R_OOM_BADNESS_EXACT]:
        return max(seen, 0) * 1000 // total
    return (1000 + abs(seen) * 1000 // total * (1 if seen > 0 else -1)) * 2 // 3


def _unsynced(pages: int) -> int:
    """Pages of a task that the counters of its address space lack: they are brought up to date when each 66th fault begins.

    mm/memory.c: check_sync_rss_stat, TASK_RSS_EVENTS_THRESH 64. That fault's own page is missing next; but the recorded program has one
    page more than vmsim's.
    """
    return (pages + _OWN_FAULTS) % _SYNC_FAULTS


def _killed(built: Built, hogs: list[Hog]) -> list[tuple[str, Value]]:
    """The victims in their order with their scores."""
    names = {task.tid: hog.name for task, hog in zip(built.tasks, hogs, strict=True)}
    count = min(int(built.kernel.node[rc.N_OOM_KILLS]), rc.OOM_LOG)
    log = built.kernel.node[rc.N_OOM_LOG : rc.N_OOM_LOG + 2 * count].reshape(-1, 2)
    return [(names.get(tid, "?"), _shown(built, points, _touched(hogs, names.get(tid), points))) for tid, points in log.tolist()]


def _touched(hogs: list[Hog], name: str | None, points: int) -> int:
    """How many pages a victim had touched: all of its own if it was done, else what its points (less 3 %) say."""
    hog = next((hog for hog in hogs if hog.name == name), None)
    if hog is not None and hog.score is not None:
        return hog.pages
    pages = points * 100 // 97 - PROGRAM_ANON - PROGRAM_FILE - 7
    return pages * 512 // 513  # less their page tables
