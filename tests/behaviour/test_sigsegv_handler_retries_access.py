"""After a SIGSEGV handler returns, the access is made again: it succeeds if the handler allowed it, else the signal
comes again.
"""

from __future__ import annotations

from scenario import PAGE, ROOT, WRITE, mmap, run, sweep

PAGES = 32


def handler(*steps: dict) -> dict:
    return {"on_signal": {"signal": "SIGSEGV", "as": "at", "steps": list(steps)}}


ALLOW = {"mprotect": {"addr": "at", "length": PAGE, "prot": WRITE}}
LOCK = {"mlock": {"addr": "at", "length": PAGE}}


def test_one_signal_a_page() -> None:
    """PROT_NONE memory, a handler that allows and locks the page: one signal for each page, all in VmLck, no fault
    counted.

    The fault that raises a signal counts in neither minflt nor majflt (B.1), and the page is there when the access
    is retried.
    """
    outcome = run(
        [handler(ALLOW, LOCK), mmap(PAGES * PAGE, prot=["PROT_NONE"]), sweep(count=3 * PAGES, op="write")],
        capabilities=ROOT,
    )
    counters = outcome.built.kernel.task[1]
    assert outcome.exit() == "done"
    assert counters[8] == PAGES  # signals
    assert counters[10] == 3 * PAGES  # accesses, each counted once
    assert outcome.locked_vm == PAGES
    assert outcome.task(6) == PAGES  # minor faults: those of mlock's population, one a page


def test_the_signal_comes_again_while_access_is_denied() -> None:
    """The handler allows reading only on the third signal: three signals for one access."""
    allow_third = {"if": {"cond": "n == 3", "then": [{"mprotect": {"addr": "at", "length": PAGE, "prot": ["PROT_READ"]}}]}}
    steps = [
        handler({"set": {"n": "n + 1"}}, allow_third),
        mmap(PAGE, prot=["PROT_NONE"]),
        {"touch": {"addr": "m"}},
        {"set": {"end": 1}},
    ]
    outcome = run(steps, vars={"n": 0, "end": 0})
    assert (outcome.register("n"), outcome.register("end"), outcome.task(8)) == (3, 1, 3)


def test_without_a_handler_it_kills() -> None:
    """No mapping, no permission to read, no permission to write."""
    for steps in (
        [{"touch": {"addr": 0}}],
        [mmap(PAGE, prot=["PROT_NONE"]), sweep()],
        [mmap(PAGE, prot=["PROT_READ"]), sweep(op="write")],
    ):
        assert run(steps).exit() == "SIGSEGV"


def test_the_rest_of_a_burst_follows() -> None:
    """A burst interrupted in its middle goes on behind the access that was retried, in the same order (xorshift64
    hash of 500).
    """
    access = {
        "access": {
            "region": "m",
            "pattern": {"type": "uniform", "generator": "xorshift64"},
            "count": 500,
            "op": "write",
        }
    }
    hashes = set()
    for prot, signals in ((["PROT_NONE"], True), (WRITE, False)):
        outcome = run([handler(ALLOW), mmap(PAGES * PAGE, prot=prot), access])
        hashes.add(int(outcome.built.kernel.pattern[1, 10]))
        assert bool(outcome.task(8)) == signals
        assert outcome.task(10) == 500
    assert len(hashes) == 1
