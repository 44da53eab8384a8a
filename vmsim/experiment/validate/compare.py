"""Which counts of each kind of recorded program are compared, and how closely."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from vmsim.experiment.validate.checks import EXACT, TOLD_ONLY, Check, Tolerance, View, locked_kb, total
from vmsim.experiment.validate.machine import PAGE
from vmsim.experiment.validate.recording import Case, Run
from vmsim.experiment.validate.simulate import Counters, Outcome
from vmsim.units import KIB

_FAULTS = {"hot": 0.05, "seq": 0.10, "stride": 0.10}  # of patterns whose misses depend on fine timing; the others 2 %
_STEALS = ("pgsteal_kswapd", "pgsteal_direct")
_SCANS = ("pgscan_kswapd", "pgscan_direct")
_FEW = 20  # pages or faults below which a share says nothing
_A_FEW = Tolerance(number=2)  # the first access after a fork or a late mapping of the program's own
_CHILD_START = 14  # faults of a forked child on its own stack and data
TOLERANCE_6 = 2.0  # 6.1 may be twice as far off


def compare(case: Case, outcomes: list[Outcome]) -> Iterator[Check]:
    """All checks of a case, run by run."""
    times = TOLERANCE_6 if case.kernel.startswith("6") else 1.0
    for number, outcome in enumerate(outcomes):
        recorded = tuple(result.runs[number] for result in case.results if number < len(result.runs))
        run = case.first.runs[number]
        view = View(recorded, outcome, times)
        prefix = f"{number + 1}: " if len(outcomes) > 1 else ""
        for check in _checks(case, run, view):
            yield Check(prefix + check.counter, check.low, check.high, check.simulated, check.tolerance)


def _checks(case: Case, run: Run, view: View) -> Iterator[Check]:
    yield from view.check("ended", EXACT, lambda each: "killed" if each.killed else "ok", view.simulated.ended)
    if view.simulated.ended == "killed" or all(each.killed for each in view.recorded):
        return
    yield from view.check("seq_hash", EXACT, lambda each: each.data.get("seq_hash"), view.simulated.seq_hash or _NO_HASH)
    yield from _KINDS.get(run.mode, _told)(case, run, view)


_NO_HASH = "cbf29ce484222325"  # of no access at all: FNV-1a's offset


def _split(phase: str, view: View) -> Iterator[Check]:
    """How much direct reclaim stole is timing: within a factor of 2, or of a fiftieth of all that was stolen."""
    whole = max((total(run.counts(phase), *_STEALS) for run in view.recorded), default=0)
    yield from view.counted(phase, "pgsteal_kswapd", TOLD_ONLY)
    yield from view.counted(phase, "pgsteal_direct", Tolerance(factor=2, number=whole / 50))
    yield from view.counted(phase, "allocstall", TOLD_ONLY)


def _per_steal(phase: str, view: View) -> Iterator[Check]:
    def ratio(counters: Counters) -> float | None:
        stolen = total(counters, *_STEALS)
        return round(total(counters, *_SCANS) / stolen, 2) if stolen > _FEW else None

    simulated = ratio(view.counts(phase)) or 0.0
    yield from view.check(f"{phase} scanned/stolen", Tolerance(0.2), lambda run: ratio(run.counts(phase)), simulated)


def _anon(case: Case, run: Run, view: View) -> Iterator[Check]:
    faults = Tolerance(_FAULTS.get(run.params.get("pat", "rand"), 0.02))
    swaps = max(total(each.counts("run"), "pswp") for each in view.recorded)
    yield from view.usage("populate", "minflt", _A_FEW)
    if not swaps:
        yield from view.usage("run", "majflt", EXACT)
        yield from view.usage("run", "minflt", EXACT)
        yield from view.counted("run", "pswpin", EXACT)
        yield from view.counted("run", "pswpout", EXACT)
        return
    yield from view.counted("populate", "pswpout", Tolerance(0.1))
    yield from _split("populate", view)
    yield from view.usage("run", "majflt", faults)
    yield from view.usage("run", "minflt", TOLD_ONLY)
    yield from view.counted("run", "pswpin", faults)
    yield from view.counted("run", "pswpout", Tolerance(0.1))
    if case.first.runs[0].data.get("sysctl", {}).get("page-cluster") == 0:
        counters = view.counts("run")
        yield Check("run pswpin - majflt", 0, 0, counters.get("pswpin", 0) - counters.get("ru_majflt", 0), EXACT)
    yield from _per_steal("run", view)
    yield from _by_kind(view)
    yield from _split("run", view)


def _by_kind(view: View) -> Iterator[Check]:
    """What later kernels count of anonymous pages: refaults, as those of files, and what comes of them."""
    if any("workingset_refault_anon" in run.counts("run") for run in view.recorded):
        yield from view.counted("run", "workingset_refault_anon", Tolerance(0.05, _FEW))
        told = ("workingset_activate_anon", "workingset_restore_anon", "pgscan_anon", "pgsteal_anon", "pgreuse", "swap_ra_hit", "swap_ra")
        for name in told:
            yield from view.counted("run", name, TOLD_ONLY)


def file_stolen(counters: Counters) -> int:
    """Pages of files that were stolen: all that were, but for those that went to swap."""
    return total(counters, *_STEALS) - total(counters, "pswpout")


def _mixed(case: Case, run: Run, view: View) -> Iterator[Check]:
    near = Tolerance(0.05)
    yield from view.usage("populate", "minflt", _A_FEW)
    yield from view.check(
        "run file pages stolen", near, lambda each: file_stolen(each.counts("run")), file_stolen(view.counts("run"))
    )
    # Counters that didn't change are not recorded: the version tells what this one is called.
    name = "workingset_refault_file" if case.kernel.startswith("6") else "workingset_refault"
    simulated = view.counts("run").get("workingset_refault", 0)
    refaults = Tolerance(0.05, _FEW)
    yield from view.check("run refaults of files", refaults, lambda each: total(each.counts("run"), name), simulated)
    yield from view.counted("run", "pswpin", Tolerance(0.2, 100))
    yield from view.counted("run", "pswpout", TOLD_ONLY)
    yield from view.counted("run", "pgpgin", TOLD_ONLY)
    yield from _split("run", view)


def _lof(case: Case, run: Run, view: View) -> Iterator[Check]:
    """How the run ends and what is locked, exactly; faults where the file fits.

    Beyond memory they hang on the timing of the first requests: a fault that needn't sleep for its page counts as a miss that no hit makes
    up for, and past a hundred misses read-ahead stops for good (the recordings have both outcomes).
    """
    near = Tolerance(0.06, _FEW) if _fits(case, run) else TOLD_ONLY
    for name in ("signals", "vmas_after", "fail_errno", "fail_op", "accesses_done"):
        yield from view.fact(name)
    locked = locked_kb(case, run, view.simulated)
    yield from view.check("VmLck_kb", EXACT, lambda each: each.data.get("VmLck_kb"), locked)
    for phase in ("setup", "run"):
        yield from view.usage(phase, "majflt", near)
        yield from view.usage(phase, "minflt", near)
        yield from view.counted(phase, "pgpgin", near)
    yield from view.counted("run", "nr_mlock", near)
    yield from view.fact("VmRSS_kb", TOLD_ONLY)


def _fits(case: Case, run: Run) -> bool:
    return run.number("pages", 0) * PAGE // KIB < int(case.first.boot.get("meminfo_kb", {}).get("MemTotal", 0))


def _maxmap(case: Case, run: Run, view: View) -> Iterator[Check]:
    for name in ("ok", "errno", "vmas_after"):
        yield from view.fact(name)
    for name in ("mprotect_first_page_noop", "mmap_one_page", "munmap_first_page"):
        yield from view.check(f"after {name}", EXACT, partial(_after, name), view.simulated.facts[f"after {name}"])


def _after(name: str, run: Run) -> int:
    return int(run.data["after"][name])


def _ra(case: Case, run: Run, view: View) -> Iterator[Check]:
    """Read-ahead decides the pages in memory and read, exactly; how many faults wait for it is timing where pages are mapped ahead."""
    mapped, again = run.params.get("via", "read") == "mmap", run.number("again", 0)
    refaults = max(total(each.counts(phase), *_STEALS) for each in view.recorded for phase in each.phases)
    exact = Tolerance(0.01) if refaults else EXACT
    yield from view.fact("mincore_resident", exact)
    for phase in ("run", "again") if again else ("run",):
        yield from view.usage(phase, "majflt", exact if not refaults else Tolerance(0.05, _FEW))
        ahead = mapped and any(total(each.counts(phase), "pgpgin") for each in view.recorded)
        yield from view.usage(phase, "minflt", Tolerance(0.06, _FEW) if ahead or refaults else exact)
        yield from view.counted(phase, "pgpgin", exact)
    if refaults:
        few = Tolerance(0.05, max(_FEW, run.number("pages", 0) / 1000))
        for phase in ("run", "again") if again else ("run",):
            yield from view.counted(phase, "workingset_refault", few)
            yield from view.counted(phase, "workingset_activate", few)


def _fork(case: Case, run: Run, view: View) -> Iterator[Check]:
    for phase in ("populate", "parent_write_while_child_alive", "parent_write_all_after_exit"):
        yield from view.usage(phase, "minflt", EXACT)
        yield from view.counted(phase, "nr_free_pages", TOLD_ONLY)
    if run.number("thp", 0):
        for phase in ("populate", "child_access", "parent_write_while_child_alive", "parent_write_all_after_exit"):
            yield from view.counted(phase, "thp_fault_alloc", EXACT)
            yield from view.counted(phase, "thp_split", EXACT)
    yield from view.check(
        "children minflt", Tolerance(0, _CHILD_START * run.number("children", 1)),
        lambda each: each.phase("child_exit").get("rusage_children", {}).get("minflt"),
        view.simulated.facts.get("children_minflt", 0),
    )  # fmt: skip


def _fw(case: Case, run: Run, view: View) -> Iterator[Check]:
    """What fsync finds left to write is timing: within a twentieth of all that was written, in KiB."""
    whole = max(sum(total(each.counts(phase), "pgpgout") for phase in ("write", "fsync")) for each in view.recorded)
    for phase in ("write", "fsync"):
        yield from view.counted(phase, "nr_dirtied", Tolerance(0.01, _FEW))
        yield from view.counted(phase, "pgpgout", Tolerance(0.1, max(256, whole / 20)))
        yield from view.usage(phase, "majflt", EXACT)


def _told(case: Case, run: Run, view: View) -> Iterator[Check]:
    return iter(())


_KINDS: Mapping[str, Callable[[Case, Run, View], Iterator[Check]]] = {
    "anon": _anon, "mixed": _mixed, "lof": _lof, "maxmap": _maxmap, "ra": _ra, "fork": _fork, "fw": _fw,
}  # fmt: skip
