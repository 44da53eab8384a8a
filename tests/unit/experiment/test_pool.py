"""Jobs over processes: the same results for any number of them, one failure that stays one, an interrupt that ends them all."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import synthetic

from vmsim.errors import VmsimError
from vmsim.experiment import pool
from vmsim.experiment.pool import Job, JobFailure, run_jobs
from vmsim.experiment.record import RunResult


class Recorder:
    """Writes down what a watcher is told."""

    def __init__(self) -> None:
        self.began: list[tuple[str, int]] = []
        self.progress: list[tuple[tuple[str, int], int, float | None]] = []
        self.runs: dict[tuple[str, int], RunResult] = {}
        self.failures: dict[tuple[str, int], JobFailure] = {}

    def started(self, job: Job) -> None:
        self.began.append(job.key)

    def progressed(self, job: Job, sim_ns: int, fraction: float | None) -> None:
        assert job.key not in self.runs
        self.progress.append((job.key, sim_ns, fraction))

    def finished(self, job: Job, run: RunResult) -> None:
        self.runs[job.key] = run

    def failed(self, job: Job, failure: JobFailure) -> None:
        self.failures[job.key] = failure


def jobs_of(*behaviours: str, seeds: int = 2) -> list[Job]:
    return [Job(behaviour, seed, behaviour) for behaviour in behaviours for seed in range(seeds)]


def run_all(jobs: Sequence[Job], processes: int) -> Recorder:
    recorder = Recorder()
    kept: list[RunResult] = []
    failures = run_jobs(jobs, kept.append, recorder, processes, run_one=synthetic.simulate)
    assert kept == list(recorder.runs.values())
    assert sorted(failures, key=str) == sorted(recorder.failures.values(), key=str)
    return recorder


def test_results_do_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    expected = {(f"mark {tmp_path}", seed): synthetic.run("plain", seed) for seed in range(12)}
    assert run_all(jobs_of(f"mark {tmp_path}", seeds=2), 1).runs == dict(list(expected.items())[:2])
    assert {path.name for path in tmp_path.iterdir()} == {str(os.getpid())}
    together = run_all(jobs_of(f"mark {tmp_path}", seeds=12), 3)
    assert len(list(tmp_path.iterdir())) == 3
    assert together.runs == expected
    assert sorted(together.began) == sorted(expected)


def test_a_small_sweep_does_not_wait_for_processes_to_start() -> None:
    made_here = []

    def quick(job: Job, progress: pool.Progress) -> RunResult:  # can't be sent to another process
        made_here.append(job.key)
        return synthetic.run(job.row_id, job.seed_index)

    assert run_jobs(jobs_of("mlock", "plain"), lambda run: None, Recorder(), 2, run_one=quick) == []
    assert len(made_here) == 4


@pytest.mark.parametrize("processes", [1, 2])
def test_one_failure_leaves_the_others_alone(processes: int) -> None:
    recorder = run_all(jobs_of("mlock", "raise", "refuse"), processes)
    assert recorder.runs.keys() == {("mlock", 0), ("mlock", 1)}
    raised, refused = recorder.failures["raise", 1], recorder.failures["refuse", 0]
    assert (str(raised), raised.user_error) == ("row 'raise', seed 1: ZeroDivisionError: seed 1", False)
    assert "synthetic.py" in raised.trace
    assert (refused.message, refused.user_error) == ("no such device", True)


def test_processes_that_die_cost_only_what_ran_in_them() -> None:
    recorder = run_all(jobs_of("die", seeds=16), 2)
    assert 1 <= len(recorder.failures) <= 3  # as many as there are new starts; the rest is made here
    assert all("died" in failure.message for failure in recorder.failures.values())
    assert len(recorder.runs) + len(recorder.failures) == 16


def test_trouble_while_saving_is_not_taken_for_a_failed_run() -> None:
    def full(run: RunResult) -> None:
        raise VmsimError("can't write: No space left on device")

    for processes in (1, 2):
        with pytest.raises(VmsimError, match="No space left"):
            run_jobs(jobs_of("slow mlock", seeds=8), full, Recorder(), processes, run_one=synthetic.simulate)


@pytest.mark.parametrize("processes", [1, 2])
def test_progress_arrives_while_a_run_goes_on(processes: int) -> None:
    recorder = run_all(jobs_of("slow mlock"), processes)
    seen = [(sim_ns, fraction) for key, sim_ns, fraction in recorder.progress if key == ("slow mlock", 0)]
    assert seen and seen == sorted(seen)
    assert len(seen) < 10  # throttled


def test_rows_not_seen_yet_come_first_then_the_longest() -> None:
    jobs = jobs_of("mlock", "plain", "onfault")
    dispatcher = pool._Pool(jobs, lambda run: None, Recorder(), {"mlock": 1.0, "plain": 5.0}, synthetic.simulate)
    order = []
    while dispatcher.pending:
        job = dispatcher._next()
        dispatcher.pending.remove(job)
        dispatcher.expected_s.setdefault(job.row_id, 3.0)
        order.append(job.row_id)
    assert order == ["onfault", "plain", "plain", "onfault", "mlock", "mlock"]


def interrupt_when_another_hangs(directory: Path) -> None:
    while not [path for path in directory.iterdir() if path.name != str(os.getpid())]:
        time.sleep(0.02)
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_ends_the_workers_and_keeps_what_is_done(tmp_path: Path) -> None:
    threading.Thread(target=interrupt_when_another_hangs, args=(tmp_path,)).start()
    recorder = Recorder()
    kept: list[RunResult] = []
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs_of(f"hang {tmp_path}", seeds=100), kept.append, recorder, 2, run_one=synthetic.simulate)
    assert kept == list(recorder.runs.values())
    assert 1 <= len(kept) < 100
    (worker,) = (int(path.name) for path in tmp_path.iterdir() if path.name != str(os.getpid()))
    assert not is_running(worker)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_compilation_is_announced_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    import vmsim.machine
    from vmsim.struct import jit

    told: list[str] = []
    warmed: list[bool] = []
    monkeypatch.setattr(vmsim.machine, "warm_up", lambda: warmed.append(True), raising=False)
    monkeypatch.setattr(jit, "is_cache_warm", lambda: True)
    pool.ensure_compiled(told.append)
    assert (told, warmed) == ([], [])
    monkeypatch.setattr(jit, "is_cache_warm", lambda: False)
    pool.ensure_compiled(told.append)
    assert len(told) == 1 and "Compiling the kernel" in told[0]
    assert warmed == [True]
