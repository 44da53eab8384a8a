"""More memory than there is, and nothing to reclaim: the OOM killer ends the task whose death frees most (C.10)."""

from __future__ import annotations

from scenario import PAGE, Outcome, finish, mmap, start, sweep

RAM = "4 MiB"
TOO_MUCH = 1200  # pages; 4 MiB are 1024
WRITER = {"name": "writer", "image": "none", "program": [mmap(TOO_MUCH * PAGE), sweep(count=TOO_MUCH, op="write")]}


def end(*tasks: dict) -> Outcome:
    return finish(start(tasks=list(tasks), ram=RAM, sysctl={"vm.overcommit_memory": 1}))


def holder(pages: int) -> dict:
    program = [mmap(pages * PAGE), sweep(count=pages, op="write"), {"sleep": "50 ms"}]
    return {"name": "holder", "image": "none", "program": program}


def writer(pages: int) -> dict:
    return {**WRITER, "start": "10 ms", "program": [mmap(pages * PAGE), sweep(count=pages, op="write")]}


def test_a_task_that_needs_too_much_is_killed() -> None:
    """It never hangs: a run ends, and the task was killed."""
    outcome = end(WRITER)
    assert outcome.ending.reason == "finished"
    assert outcome.exit() == "SIGKILL"


def test_the_largest_dies_and_the_others_go_on() -> None:
    """Two tasks that together need more than there is: the larger one is killed, whoever asked for the last page."""
    outcome = end(holder(600), writer(500))
    assert (outcome.exit(1), outcome.exit(2)) == ("SIGKILL", "done")
    outcome = end(holder(300), writer(900))
    assert (outcome.exit(1), outcome.exit(2)) == ("done", "SIGKILL")


def test_mlocked_memory_ends_in_a_kill_not_in_a_hang() -> None:
    """GFP_KERNEL allocations of one page never fail (C.4), so mlock of too much doesn't either; recorded on 4.4.1 (1 GB file, 512 MB)."""
    program = [mmap(TOO_MUCH * PAGE), {"mlock": {"addr": "m", "length": TOO_MUCH * PAGE, "expect": "any"}}]
    task = {"name": "locker", "image": "none", "capabilities": ["CAP_IPC_LOCK"], "program": program}
    assert end(task).exit() == "SIGKILL"


def setting(name: str, value: int, **given: str) -> dict:
    return {"sysctl": {"name": name, "value": value, **given}}


def test_settings_of_the_oom_killer_written_while_it_runs() -> None:
    """proc_dointvec takes any int for oom_kill_allocating_task, and any but 0 means yes; panic_on_oom is from 0 to 2 (kernel/sysctl.c)."""
    asker = writer(500)
    asker["program"] = [setting("vm.oom_kill_allocating_task", -7), *asker["program"]]
    outcome = end(holder(600), asker)
    assert (outcome.exit(1), outcome.exit(2)) == ("done", "SIGKILL")
    asker["program"] = [setting("vm.oom_kill_allocating_task", 0), *asker["program"][1:]]
    outcome = end(holder(600), asker)
    assert (outcome.exit(1), outcome.exit(2)) == ("SIGKILL", "done")
    asker["program"] = [setting("vm.panic_on_oom", 3, expect="EINVAL"), setting("vm.panic_on_oom", 1), *asker["program"][1:]]
    outcome = end(holder(600), asker)
    assert outcome.ending.reason == "panic"
    assert (outcome.exit(1), outcome.exit(2)) == ("running", "running")


def test_a_machine_that_has_panicked_runs_no_more() -> None:
    outcome = finish(start(tasks=[WRITER], ram=RAM, sysctl={"vm.overcommit_memory": 1, "vm.panic_on_oom": 1}))
    later = outcome.built.machine.run(until_ns=outcome.ending.now_ns + 1_000_000)
    assert (outcome.ending.reason, later.reason, later.now_ns) == ("panic", "panic", outcome.ending.now_ns)
