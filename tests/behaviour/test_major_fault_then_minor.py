"""What reads a page is a major fault; what finds it, or waits for another's read, is minor (B.1, B.5, golden
vectors L.9 and L.10).
"""

from __future__ import annotations

from scenario import PAGE, READ, mmap, phase, run, sweep
from shell import Shell

from vmsim.struct.vmas import MM_ANONPAGES

COLD = {"data": {"size": 256 * PAGE}}


def test_cold_then_warm() -> None:
    """L.10: a cold page in the middle of a file: 32 pages read around it, one major fault, no minor one; pgfault
    counts the retry.

    The second mapping finds the page in the cache: one minor fault, no wait.
    """
    steps = [
        mmap(256 * PAGE, file="data", prot=READ), phase("cold", {"touch": {"addr": "m + 400 KiB"}}),
        {"munmap": {"addr": "m", "length": 256 * PAGE}}, mmap(256 * PAGE, file="data", prot=READ),
        phase("warm", {"touch": {"addr": "m + 400 KiB"}}),
    ]  # fmt: skip
    outcome = run(steps, files=COLD)
    cold, warm = outcome.phase("cold"), outcome.phase("warm")
    assert {name: cold.counters[name] for name in ("ru_majflt", "ru_minflt", "pgmajfault", "pgfault", "pgpgin")} == {
        "ru_majflt": 1, "ru_minflt": 0, "pgmajfault": 1, "pgfault": 2, "pgpgin": 128,
    }  # fmt: skip
    assert (
        warm.counters["ru_majflt"],
        warm.counters["ru_minflt"],
        warm.counters["pgfault"],
        warm.counters["pgpgin"],
    ) == (0, 1, 1, 0)
    assert cold.ledger["read_wait"] > 0
    assert warm.ledger["read_wait"] == 0


def test_waiting_for_anothers_read_is_minor() -> None:
    """Two tasks touch the same cold page: the one that starts the read has the major fault; the other waits as long
    and has a minor one.
    """
    program = [mmap(256 * PAGE, file="data", prot=READ), {"touch": {"addr": "m"}}]
    outcome = run(tasks=[{"name": name, "program": program} for name in ("a", "b")], files=COLD)
    assert [(outcome.task(6, tid), outcome.task(7, tid)) for tid in (1, 2)] == [(0, 1), (1, 0)]
    assert outcome.ledger("read_wait", tid=2) > 0
    assert outcome.vmstat("pgmajfault") == 1


def test_population_of_a_cold_page_counts_both() -> None:
    """A.7: the fault that populate makes counts even when it is tried again: one major and one minor for a page
    that is read.
    """
    steps = [mmap(PAGE, file="data", prot=READ), {"mlock": {"addr": "m", "length": PAGE}}]
    outcome = run(steps, files={"data": {"size": PAGE}}, capabilities=["CAP_IPC_LOCK"])
    assert (outcome.task(6), outcome.task(7)) == (1, 1)


def test_anonymous_read_then_write() -> None:
    """L.9: a read maps the zero page: pgfault 1, no RSS; the write is a second fault, RSS one page on the active
    list.
    """
    shell = Shell()
    address = shell.call("mmap", 0, PAGE, 3, 0x22, -1, 0)
    shell.touch(address)
    assert (shell.vmstat("pgfault"), shell.mm(MM_ANONPAGES), shell.faults()) == (1, 0, (1, 0))
    shell.touch(address, write=True)
    assert (shell.vmstat("pgfault"), shell.mm(MM_ANONPAGES), shell.faults()) == (2, 1, (2, 0))
    assert shell.vmstat("nr_anon_pages") == 1
    shell.touch(address, write=True)
    assert shell.vmstat("pgfault") == 2


def test_one_fault_for_a_sequence_of_windows() -> None:
    """A sweep over a cold file: the first page is a major fault; from then on read-ahead runs before the program.

    With enough work between accesses it never waits again: 1 major fault, as recorded for 20,000 pages on a 4.4.1
    kernel.
    """
    outcome = run([mmap(256 * PAGE, file="data", prot=READ), sweep(count=256, work="50 us")], files=COLD)
    assert outcome.task(7) == 1
    assert outcome.vmstat("pgpgin") == 1024
