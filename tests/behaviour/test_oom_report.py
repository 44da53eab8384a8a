"""The report of the OOM killer has the recorded form, and its scores are the kernel's (C.10).

Lines that are recorded come from a 256 MB machine under 4.4.1 and 6.1.177.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from scenario import PAGE, Outcome, finish, mmap, start, sweep

from vmsim.mm.oom_kill import badness_of
from vmsim.struct import tasks as t
from vmsim.struct import vmas as v
from vmsim.struct.kernel import SC_TOTALRAM

RECORDED_4_4 = (
    "wl invoked oom-killer: gfp_mask=0x24280ca, order=0, oom_score_adj=0",
    "wl cpuset=/ mems_allowed=0",
    "Mem-Info:",
    "active_anon:58088 inactive_anon:0 isolated_anon:0",
    " active_file:39 inactive_file:25 isolated_file:0",
    " unevictable:1309 dirty:0 writeback:0 unstable:0",
    " slab_reclaimable:472 slab_unreclaimable:526",
    " mapped:603 shmem:0 pagetables:138 bounce:0",
    " free:714 free_pcp:30 free_cma:0",
    "DMA free:1036kB min:124kB low:152kB high:184kB active_anon:13996kB inactive_anon:0kB active_file:0kB inactive_file:0kB "
    "unevictable:160kB isolated(anon):0kB isolated(file):0kB present:15992kB managed:15908kB mlocked:160kB dirty:0kB writeback:0kB "
    "mapped:0kB shmem:0kB slab_reclaimable:12kB slab_unreclaimable:56kB kernel_stack:32kB pagetables:16kB unstable:0kB bounce:0kB "
    "free_pcp:0kB local_pcp:0kB free_cma:0kB writeback_tmp:0kB pages_scanned:0 all_unreclaimable? yes",
    "lowmem_reserve[]: 0 230 230 230",
    "Node 0 hugepages_total=0 hugepages_free=0 hugepages_surp=0 hugepages_size=2048kB",
    "721 total pagecache pages",
    "0 pages in swap cache",
    "Swap cache stats: add 0, delete 0, find 0/0",
    "Free swap  = 0kB",
    "Total swap = 0kB",
    "65400 pages RAM",
    "0 pages HighMem/MovableOnly",
    "2427 pages reserved",
    "[ pid ]   uid  tgid total_vm      rss nr_ptes nr_pmds swapents oom_score_adj name",
    "[   70]     0    70    70429    22333      48       3        0             0 wl",
    "Out of memory: Kill process 70 (wl) score 344 or sacrifice child",
    "Killed process 70 (wl) total-vm:281716kB, anon-rss:88644kB, file-rss:688kB",
)
RECORDED_6_1 = (
    " slab_reclaimable:2470 slab_unreclaimable:1655",
    "Node 0 DMA free:892kB boost:0kB min:136kB low:168kB high:200kB reserved_highatomic:0KB active_anon:0kB inactive_anon:14312kB "
    "active_file:0kB inactive_file:0kB unevictable:0kB writepending:0kB present:15992kB managed:15360kB mlocked:0kB bounce:0kB "
    "free_pcp:0kB local_pcp:0kB free_cma:0kB",
    "lowmem_reserve[]: 0 190 190 190 190",
    "0 pages hwpoisoned",
    "Tasks state (memory values in pages):",
    "[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name",
    "[    122]     0   122     8430     8341   106496        0             0 wl",
    "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/,task=wl,pid=124,uid=0",
    "Out of memory: Killed process 124 (wl) total-vm:65720kB, anon-rss:64620kB, file-rss:688kB, shmem-rss:0kB, UID:0 pgtables:168kB "
    "oom_score_adj:0",
)


def hog(name: str, pages: int, adj: int = 0, **given: Any) -> dict[str, Any]:
    program = [mmap(pages * PAGE), sweep(count=pages, op="write"), {"sleep": "50 ms"}]
    return {"name": name, "image": "none", "capabilities": ["CAP_SYS_ADMIN"], "oom_score_adj": adj, "program": program, **given}


def end(*tasks: dict[str, Any], ram: str = "4 MiB", **given: Any) -> Outcome:
    return finish(start(tasks=list(tasks), ram=ram, sysctl={"vm.overcommit_memory": 1}, **given))


def form(line: str) -> str:
    """A recorded line as an expression: numbers, the command's name and the answer to all_unreclaimable may differ."""
    name, number = "(holder|wl)", r" *-?\\d+"
    escaped = re.sub(r"(\\ )*\d+", number, re.escape(re.sub(r"\bwl\b", "WL", line)))
    return r"\[ *\d+\.\d{6}\] " + escaped.replace("WL", name).replace("yes", "(yes|no)") + "$"


@pytest.mark.parametrize("rules", [{}, {"oom_report_6_1": True}])
def test_lines_have_the_recorded_form(rules: dict[str, bool]) -> None:
    outcome = end(hog("holder", 300), hog("wl", 900, start="10 ms"), rules=rules)
    lines = outcome.built.dmesg.lines
    for line in RECORDED_6_1 if rules else RECORDED_4_4:
        assert any(re.match(form(line), shown) for shown in lines), (line, lines)
    table = [shown for shown in lines if re.match(r"\[ *\d+\.\d+\] \[ *\d+\]", shown)]
    assert [shown.split()[-1] for shown in table] == ["holder", "wl"]  # neither kswapd nor a flusher
    assert not any("kswapd" in shown for shown in lines)
    assert outcome.exit(2) == "SIGKILL"


def test_oom_score_adj_decides() -> None:
    """8 MiB are 1,920 pages, so -999 takes 999 off: the smaller one dies."""
    outcome = end(hog("holder", 700), hog("wl", 1500, adj=-999, start="10 ms"), ram="8 MiB")
    assert (outcome.exit(1), outcome.task(t.T_KILLED, 1)) == ("SIGKILL", t.KILLED_BY_OOM)


def test_nobody_to_kill_is_a_panic() -> None:
    """As recorded on 4.4.1 (all_unkillable_but_one); the run ends, rather than try for ever."""
    built = start(tasks=[hog("wl", 1200, adj=-1000)], ram="4 MiB", sysctl={"vm.overcommit_memory": 1})
    ending = built.machine.run()
    assert ending.reason == "panic"
    assert built.dmesg.lines[-1].endswith("Kernel panic - not syncing: Out of memory and no killable processes...")


# Recorded: rss, page tables of the two lowest levels, oom_score_adj, totalpages, the score; of root's tasks.
SCORES = [
    ("4.4", 8341, 23, 0, 62973, 128),
    ("4.4", 16327, 38, 0, 62973, 252),
    ("4.4", 12301, 31, 0, 62973, 189),
    ("4.4", 22333, 51, 0, 62973, 344),
    ("4.4", 10321, 27, -999, 62973, 0),
    ("6.1", 8341, 26, 0, 52685, 772),
    ("6.1", 12301, 33, 0, 52685, 822),
    ("6.1", 10321, 30, -999, 52685, 140),
    ("6.1", 10321, 29, -1000, 52685, 0),
]


@pytest.mark.parametrize(("version", "rss", "tables", "adj", "total", "score"), SCORES)
def test_scores_are_the_recorded_ones(version: str, rss: int, tables: int, adj: int, total: int, score: int) -> None:
    built = start(tasks=[hog("wl", 1, adj)], ram="64 MiB", version=version)
    kernel = built.kernel
    kernel.task[1, t.T_STATE] = t.TASK_RUNNABLE
    kernel.sc[SC_TOTALRAM] = total
    kernel.mm[1, [v.MM_ANONPAGES, v.MM_NR_PTES, v.MM_NR_PMDS]] = rss, tables, 0
    assert built.proc.read("oom_score", 1) == f"{score}\n"
    assert built.proc.read("oom_score_adj", 1) == f"{adj}\n"
    if (version, adj) == ("4.4", -999):
        assert badness_of(kernel.k, 1) == 1


def test_a_segmentation_fault_is_told() -> None:
    """The form of arch/x86/mm/fault.c: show_signal_msg; error 6 is a write by a program to what isn't there."""
    built = start([{"touch": {"addr": 4096, "op": "write"}}], image="none")
    finish(built)
    assert re.fullmatch(r"\[ +\d+\.\d{6}\] task\[1\]: segfault at 1000 ip [0-9a-f]{16} sp [0-9a-f]{16} error 6\n", built.dmesg.text())
