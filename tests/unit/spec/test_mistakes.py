"""Every mistake has its line, its key, what was expected and the nearest name; all of them are reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vmsim.errors import Problem
from vmsim.spec.load import make_experiment

EXPERIMENT = (Path(__file__).parent / "example.yaml").read_text()

Problems = Callable[..., tuple[Problem, ...]]

_STEP = '            - access: {region: map, pattern: {type: uniform}, count: "${n}"}'


def line_of(text: str, mark: str) -> int:
    return text[: text.index(mark)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        ("title:", "titel:", "titel", "did you mean 'title'"),
        ("version: 4.4", "version: 4.5", "kernel.version", "no kernel '4.5'; did you mean '4.4'"),
        ("version: 4.4", "version: 6.1\n  transparent_hugepage: always", "kernel.transparent_hugepage", "before 4.5 have them"),
        ("version: 4.4", "transparent_hugepage: always\n  rules: {madv_cold: true}", "kernel.rules", "madv_cold is not modelled"),
        ("version: 4.4", "version: [4.4]", "kernel.version", "expected a kernel version"),
        ("vm.max_map_count: 65530}", "vm.max_map_cuont: 3}", "vm.max_map_cuont", "did you mean 'vm.max_map_count'"),
        ("vm.max_map_count: 65530}", "vm.swappiness: 101}", "vm.swappiness", "between 0 and 100"),
        ("vm.max_map_count: 65530}", "vm.max_map_count: many}", "vm.max_map_count", "expected a whole number"),
        ("cached: all", "cached: 120 %", "files.graph.cached", "expected all, none or a percentage"),
        ("cached: all", "cached: all, devise: sda", "files.graph.devise", "did you mean 'device'"),
        ("cached: all", "cached: all, device: sdb", "files.graph.device", "no device 'sdb'; did you mean 'sda'"),
        ("cached: all", "cached: all, fs: ext5", "files.graph.fs", "did you mean 'ext4'"),
        ("cached: all", "cached: all, fs: tmpfs, device: sda", "files.graph.device", "lies in memory"),
        ("size: 5 GiB", "size: 5 GB/s", "files.graph.size", "GB/s is not a unit of a size"),
        ("size: 5 GiB", "size: 5 us", "files.graph.size", "us is not a unit of a size"),
        ("size: 5 GiB", "size: 1e999999999 GiB", "files.graph.size", "out of every range"),
        ("size: 5 GiB", "size: 20 GiB", "files.graph", "the machine has 16 GiB of memory"),
        ("size: 5 GiB", "size: 5 TiB", "files.graph", "do not fit on a device of 1 TiB"),
        ("CAP_IPC_LOCK", "CAP_IPC_LOK", "tasks[0].capabilities[0]", "did you mean 'CAP_IPC_LOCK'"),
        ("vars: {batch: 8}", "vars: {batch: x}", "tasks[0].vars.batch", "expected a constant"),
        ("vars: {batch: 8}", "vars: {if: 8}", "tasks[0].vars.if", "a meaning of its own"),
        ("vars:", "count: 0\n    vars:", "tasks[0].count", "between 1 and 100000, got 0"),
        ("vars:", "nice: 20\n    vars:", "tasks[0].nice", "between -20 and 19"),
        ("vars:", "start: 5\n    vars:", "tasks[0].start", "a duration needs a unit"),
        ("vars:", "rlimits: {RLIMIT_MEMLOK: 1}\n    vars:", "RLIMIT_MEMLOK", "did you mean 'RLIMIT_MEMLOCK'"),
        ("vars:", "rlimits: {RLIMIT_AS: {soft: 2, hard: 1}}\n    vars:", "RLIMIT_AS", "above the hard one"),
        ("prot: READ", "prot: REED", "mmap.prot", "did you mean 'PROT_READ'"),
        ("flags: MAP_PRIVATE", "flags: [PRIVAT]", "mmap.flags[0]", "'MAP_PRIVATE'"),
        ("file: graph", "file: grph", "mmap.file", "no file 'grph'; did you mean 'graph'"),
        ("as: map", "as: 1map", "mmap.as", "expected a register name"),
        ("as: map", "as: map, expect: ENOMME", "mmap.expect", "did you mean 'ENOMEM'"),
        ("- mlock2:", "- mlock3:", "phase.steps[1]", "no step 'mlock3'; did you mean 'mlock"),
        ("addr: map", "addr: mapp", "mlock2.addr", "no register 'mapp'; did you mean 'map'"),
        ("addr: map", "adr: map", "mlock2.adr", "did you mean 'addr'"),
        ("region: map", "region: m + 1", "access.region", "needs a length"),
        ("region: map", "region: batch", "access.region", "no mmap sets 'batch'"),
        ("type: uniform", "type: unifrom", "access.pattern", "did you mean 'uniform'"),
        ("type: uniform", "typ: uniform", "access.pattern", "the key type is missing"),
        ("type: uniform", "type: zipf, theta: -1", "access.pattern.theta", "more than 0"),
        ("type: uniform", "type: uniform, state: 3", "access.pattern.state", "xorshift64"),
        ("type: uniform", "type: replay", "access.pattern", "either pages or file"),
        ("type: uniform", "type: replay, file: no.npy", "access.pattern.file", "there is no file"),
        ('count: "${n}"', "count: 5 GiB", "access.count", "expected a number, got a size"),
        ('count: "${n}"', 'count: "${m}"', "access.count", "no constant 'm'"),
        ('count: "${n}"', "op: read", "access.count", "the key is missing"),
        (_STEP, "            - compute: 5", "compute", "a duration needs a unit"),
        (_STEP, "            - exit", "phase.steps[0]", "a step is a mapping: {exit: {...}}"),
        (_STEP, "            - {exit: , touch: map}", "phase.steps[0]", "one key, its name; got 2"),
        (_STEP, "            - 5", "phase.steps[0]", "expected a step such as"),
        (_STEP, "            - touch: later\n            - set: {later: 1}", "touch", "set only later"),
        ("id: b16", "id: B 16", "id", "expected a short id"),
        ("id: b16", "id: b16\n    foo: 1", "foo", "no key 'foo'"),
        ("name: batch 16", "name: plain", "name", "'plain' is used twice (first on line"),
        ("reader.vars.batch: 16", "raeder.vars.batch: 16", "set.tasks.raeder.vars.batch", "did you mean 'reader'"),
        ("vm.max", "vm.mix", "vm.mix_map_count", "'vm.max_map_count'"),
        ("{setup: 0.189 ms", "{setpu: 0.189 ms", "published.setpu", "no phase 'setpu'; did you mean 'setup'"),
        ("{setup: 0.189 ms", "{setup: 0.189", "published.setup", "a duration needs a unit"),
        ("fails: ENOMEM", "fails: ENOMME", "published.processing", "did you mean 'ENOMEM'"),
        ("call: mprotect", "call: mprotcet", "published.processing", "did you mean 'mprotect'"),
        ("kind: {setup: fitted}", "kind: {setup: fited}", "kind.setup", "did you mean 'fitted'"),
        ("{signals: 13", "{signal: 13", "facts.signal", "did you mean 'signals'"),
        ("[50, 100]", "[50]", "tolerance.setup", "expected [percent below, percent above]"),
        ("signal: SIGSEGV", "signal: SIGSEVG", "program[0].on_signal.signal", "did you mean 'SIGSEGV'"),
        ("batch * PAGE", "btach * PAGE", "mprotect.length", "did you mean 'batch'"),
        ("loop: {count: 3,", "loop: {cuont: 3,", "program[2].loop.cuont", "did you mean 'count'"),
        ("seeds: 20", "seeds: 0", "seeds", "between 1 and 100000"),
        ("seeds: 20", "seeds: [1, 1]", "seeds", "different run numbers"),
        ("seeds: 20", "plots: [barz]", "plots[0]", "did you mean 'bars'"),
        ("seeds: 20", "outputs: {series: {interval: 1 s, counters: [pgfalt]}}", "counters[0]", "'pgfault'"),
        ("seeds: 20", "outputs: {histogram: 3}", "outputs.histogram", "expected true or false"),
        ("seeds: 20", "tasks: 3", "tasks", "the key is given twice"),
        ("ram: 16 GiB", "ram: 16 GiB, cpus: 0", "machine.cpus", "the key is given twice"),
        ("ram: 16 GiB", "ram: 65 TiB", "machine.ram", "x86_64 addresses at most 64 TiB"),
        ("ram: 16 GiB", "ram: 17179869185", "machine.ram", "whole pages"),
        ("ram: 16 GiB", "ram: 16 GiB, arch: x86-64", "machine.arch", "did you mean 'x86_64'"),
        ("ram: 16 GiB", "ram: 16 GiB, page_size: 64 KiB", "machine.page_size", "x86_64 has pages of 4 KiB"),
        ("ram: 16 GiB", "ram: 16 GiB, tlb: {l1: {entries: 60, ways: 4}}", "tlb.l1", "ways times a power of two"),
        ("ram: 16 GiB", "ram: 16 GiB, costs: {trapp: 1 us}", "machine.costs.trapp", "did you mean 'trap'"),
        ("ram: 16 GiB", "ram: 16 GiB, costs: {trap: 1}", "machine.costs.trap", "a duration needs a unit"),
        ("ram: 16 GiB", "ram: 16 GiB, swap: {device: sdb, size: 1 GiB}", "machine.swap.device", "did you mean 'sda'"),
        ("type: sata-ssd", "type: sata-sdd", "devices.sda", "did you mean 'sata-ssd'"),
        ("type: sata-ssd", "type: sata-ssd, read_latency: 5 MB/s", "sda.read_latency", "not a unit of a duration"),
        ("type: sata-ssd", "type: sata-ssd, bandwidth_read: 5 us", "sda.bandwidth_read", "not a unit of a rate"),
        ("type: sata-ssd", "type: hdd, seek_min: 9 ms", "devices.sda", "seek_min <= seek_avg <= seek_max"),
        ("type: sata-ssd", "type: sata-ssd, latency: {type: lognromal}", "devices.sda.latency", "'lognormal'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(problems: Problems, old: str, new: str, key: str, message: str) -> None:
    assert old in EXPERIMENT
    text = EXPERIMENT.replace(old, new, 1)
    found = problems(text)
    expected = [problem for problem in found if problem.key.endswith(key) and message in problem.message]
    assert expected, [str(problem) for problem in found]
    where = line_of(EXPERIMENT, "graph: {" if old == "size: 5 GiB" else old)  # a constant is wrong where it is used
    assert expected[0].line in range(where, where + new.count("\n") + 1)
    assert expected[0].file.endswith("experiment.yaml")


def test_all_mistakes_are_reported_in_the_order_of_the_file(problems: Problems) -> None:
    text = EXPERIMENT.replace("title:", "titel:").replace("4.4", "4.5").replace("cached: all", "cached: most")
    text = text.replace("prot: READ", "prot: REED", 1).replace("addr: map", "addr: mapp").replace("fitted", "fited")
    found = problems(text)
    assert [problem.key for problem in found] == [
        "titel",
        "kernel.version",
        "files.graph.cached",
        "tasks[0].program[0].phase.steps[0].mmap.prot",
        "tasks[0].program[0].phase.steps[1].mlock2.addr",
        "rows[1].kind.setup",
    ]


def test_a_wrong_step_does_not_make_its_register_unknown(problems: Problems) -> None:
    for old, new in [("- mmap: {", "- mmapp: {"), ("as: map", "as: map, foo: 1"), ("prot: READ", "prot: REED")]:
        found = problems(EXPERIMENT.replace(old, new, 1))
        assert len(found) == 1, [str(problem) for problem in found]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("tasks.main.vars.bacth: 8", "no register 'bacth'; did you mean 'batch'? (known: batch)"),
        ("constants.length: 8", "no constant 'length'; did you mean 'lenght'? (known: lenght)"),
        ("constants.other: 8", "no constant 'other'; known: lenght"),
        ("seeds: 8", "seeds belongs to the whole experiment; a row changes machine, kernel, files, tasks, program, constants"),
        ("outputs.series: 3", "outputs belongs to the whole experiment; a row changes machine, kernel, files, tasks, program, constants"),
        ("machin.ram: 8 MiB", "no key 'machin'; did you mean 'machine'? (known: constants, files, kernel, machine, program, tasks)"),
    ],
)
def test_a_change_that_would_change_nothing_is_a_mistake(problems: Problems, change: str, message: str) -> None:
    """What a row (or a sweep) sets must be read by something, or a slip of the pen goes unnoticed."""
    text = "title: x\nmachine: whiteboard\nconstants: {lenght: 1 ms}\n"
    text += "tasks: [{name: main, vars: {batch: 1}, program: [{compute: batch}]}]\n"
    (found,) = problems(text + f"rows: [{{name: a, set: {{{change}}}}}]")
    assert (found.line, found.message) == (5, message)


def test_a_register_may_come_with_the_row_and_a_constant_with_the_command() -> None:
    program = [{"compute": "batch * 1 us"}, {"sleep": "${pause}"}]
    row = {"name": "a", "set": {"tasks.main.vars.batch": 3}}
    data = {"title": "x", "machine": "whiteboard", "tasks": [{"name": "main", "program": program}], "rows": [row]}
    (run,) = make_experiment(data, ["constants.pause=1 ms"]).runs
    assert set(run.tasks[0].vars) == {"batch"}


def test_keys_that_are_not_indented_are_recognised(problems: Problems) -> None:
    steps = "\n".join(
        ["title: x", "machine: whiteboard", "program:", "- mmap:", "  length: 1 MiB", "  as: m", "- touch: m"]
    )
    (found,) = problems(steps)
    assert (found.line, found.key) == (4, "program[0]")
    assert "indent its keys below mmap:" in found.message


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ("", 1, "", "the file is empty"),
        ("- 1", 1, "", "expected the keys of an experiment"),
        ("title: x", 1, "machine", "the key is missing"),
        ("title: x\nmachine: whitebord", 2, "machine", "did you mean 'whiteboard'"),
        ("title: x\nmachine: [1]", 2, "machine", "expected a mapping, got a list"),
        ("title: x\nmachine: whiteboard", 1, "", "there is nothing to run"),
        ("title: x\nmachine: whiteboard\ntasks: []\nprogram: []", 4, "program", "either program or tasks"),
        ("title: x\nmachine: whiteboard\nfiles: {a: {size: 1}}\ntasks: 3", 4, "tasks", "expected a list"),
        ("title: 'a\n\n  b'\nmachine: whiteboard\nprogram: []", 1, "title", "one line of text"),
        ("title: x\nmachine: server-nvme\nfiles: {a: {size: 1}}\nprogram: []", 3, "files.a", "2 devices: nvme0, nvme1"),
        ("title: x\nmachine: {ram: 1 GiB}\nfiles: {a: {size: 1}}\nprogram: []", 3, "files.a", "has no device"),
        ("title: x\nmachine: whiteboard\nfiles: {a/b: {size: 1}}\nprogram: []", 3, "files.a/b", "expected a name"),
        (
            "title: x\nmachine: {ram: 1 GiB, arch: arm}\nkernel: {transparent_hugepage: madvise}\nprogram: []",
            3,
            "kernel.transparent_hugepage",
            "arm has no transparent huge pages",
        ),
        ("title: x\nmachine: whiteboard\nprogram: [{touch: p}]", 3, "program[0].touch", "no register 'p'"),
        (
            "title: x\nmachine: whiteboard\nconstants: {a-b: 1}\nprogram: []",
            3,
            "constants.a-b",
            "letters, digits and _",
        ),
    ],
)
def test_broken_files(problems: Problems, text: str, line: int, key: str, message: str) -> None:
    found = problems(text)
    assert any((p.line, p.key) == (line, key) and message in p.message for p in found), [str(p) for p in found]


@pytest.mark.parametrize(
    ("option", "key", "message"),
    [
        ("kernel.verison=4.3", "kernel.verison", "did you mean 'version'"),
        ("kernel.version=9.9", "kernel.version", "no kernel '9.9'"),
        ("tasks.raeder.nice=1", "tasks.raeder.nice", "did you mean 'reader'"),
        ("rows[7].name=x", "rows[7].name", "there is no [7]"),
        ("machine.cpus=[", "machine.cpus", "not YAML"),
        ("title.x=1", "title.x", "is a single value"),
        ("foo", "", "expected key=value"),
        ("=3", "", "expected key=value"),
        ("a[b]=3", "a[b]", "expected a dotted key"),
        ("a." * 100 + "b=3", "a." * 100 + "b", "expected a dotted key"),
        ("program=[]", "program", "either program or tasks"),
    ],
)
def test_mistakes_in_options_name_the_option(problems: Problems, option: str, key: str, message: str) -> None:
    found = [problem for problem in problems(EXPERIMENT, option) if problem.file.startswith("--set ")]
    assert any(problem.key == key and message in problem.message for problem in found), [str(p) for p in found]
    assert all(problem.line == 0 and problem.file.startswith(f"--set {option[:200]}") for problem in found)


def test_mistakes_in_the_machines_file_stand_there(problems: Problems, tmp_path: Path) -> None:
    path = tmp_path / "box.yaml"
    path.write_text("ram: 16 GiB\ncpus: 4\ndevices:\n  sda: {type: sata-ssd, size: 5 us}\n")
    text = "title: x\nmachine: box\nprogram: [{compute: 5}]"
    found = problems(text)
    assert [(Path(p.file).name, p.line, p.key) for p in found] == [
        ("experiment.yaml", 3, "program[0].compute"),
        ("box.yaml", 4, "devices.sda.size"),
    ]


def test_patterns_of_one_name_are_one_pattern(problems: Problems) -> None:
    first = "{type: zipf, name: p}"
    text = EXPERIMENT.replace(
        _STEP, _STEP.replace("{type: uniform}", first) + "\n" + _STEP.replace("type: u", "name: p, type: u")
    )
    (found,) = problems(text)
    assert "the pattern 'p' is another than on line 22" in found.message
