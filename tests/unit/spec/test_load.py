"""From YAML to a resolved experiment."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from vmsim.errors import SpecError
from vmsim.spec.experiment import ExperimentSpec
from vmsim.spec.expr import BinOp, Call, Num, Reg
from vmsim.spec.load import load_experiment, load_machine, make_experiment, resolve_rows
from vmsim.spec.machine import MachineSpec
from vmsim.spec.published import Failure
from vmsim.spec.rlimits import Rlimit
from vmsim.spec.steps import AccessStep, LoopStep, OnSignalStep, PhaseStep, TouchStep
from vmsim.spec.syscalls import Mlock2Step, MmapStep, MprotectStep
from vmsim.struct.tasks import RLIM_INFINITY

EXPERIMENT = (Path(__file__).parent / "example.yaml").read_text()
Write = Callable[[str], Path]


@pytest.fixture
def experiment(write: Write) -> ExperimentSpec:
    return load_experiment(write(EXPERIMENT))


def test_rows_are_resolved(experiment: ExperimentSpec) -> None:
    plain, batch, handler = resolve_rows(experiment)
    assert [run.row_id for run in experiment.runs] == ["plain", "b16", "handler"]
    assert [run.row_name for run in experiment.runs] == ["plain", "batch 16", "handler"]
    assert plain.kernel.sysctl["vm.max_map_count"] == 65530
    assert batch.kernel.sysctl["vm.max_map_count"] == 2_000_000
    assert plain.tasks[0].vars == handler.tasks[0].vars == {"batch": 8}
    assert batch.tasks[0].vars == {"batch": 16}
    assert experiment.seeds == tuple(range(20))
    assert experiment.seed == 1


def test_what_is_published_about_a_row(experiment: ExperimentSpec) -> None:
    batch = experiment.runs[1]
    assert batch.published == {"setup": 189_000, "processing": Failure(fails="ENOMEM", call="mprotect")}
    assert batch.kind == {"setup": "fitted"}
    assert batch.tolerance == {"setup": (50.0, 100.0), "processing": (5.0, 5.0)}
    assert batch.facts == {"signals": 1_310_701}


def test_steps_become_typed_and_complete(experiment: ExperimentSpec) -> None:
    setup, processing = experiment.runs[0].tasks[0].program
    assert isinstance(setup, PhaseStep)
    assert setup.steps == (
        MmapStep(length=Num(5 << 30), prot="READ", flags="MAP_PRIVATE", file="graph", as_="map"),
        Mlock2Step(addr=Reg("map"), length=Num(5 << 30), flags=["ONFAULT"]),
    )
    assert isinstance(processing, PhaseStep)
    access = processing.steps[0]
    assert isinstance(access, AccessStep)
    assert (access.region, access.length, access.count) == (Reg("map"), Num(5 << 30), Num(1500))
    seven = experiment.runs[1].tasks[0].program[1]
    assert isinstance(seven, PhaseStep)
    assert seven.steps[0].count == Num(7)


def test_loop_counters_and_handlers(experiment: ExperimentSpec) -> None:
    handler, _, loop = experiment.runs[2].tasks[0].program
    size = BinOp("*", Reg("batch"), Reg("PAGE_SIZE"))
    protect = MprotectStep(addr=Call("page", (Reg("si_addr"),)), length=size, prot="READ")
    assert handler == OnSignalStep(signal="SIGSEGV", as_="si_addr", steps=(protect,))
    touch = TouchStep(addr=BinOp("+", Reg("m"), BinOp("*", Reg("i"), Num(4096))))
    assert loop == LoopStep(count=Num(3), as_="i", steps=(touch,))


def test_defaults_are_filled_in(experiment: ExperimentSpec) -> None:
    run = experiment.runs[0]
    assert run.files["graph"].device == "sda"
    assert run.files["graph"].read_ahead == 128 << 10
    assert run.files["graph"].cached_pages(4096) == 1_310_720
    assert run.tasks[0].rlimits["RLIMIT_MEMLOCK"] == Rlimit(65536, 65536)
    assert run.tasks[0].rlimits["RLIMIT_AS"] == Rlimit(RLIM_INFINITY, RLIM_INFINITY)
    assert run.kernel.sysctl["vm.page-cluster"] == 3
    assert run.kernel.line == "4.4"
    assert run.machine.costs["trap"] > 0


def test_a_dump_reads_back_unchanged_and_travels_between_processes(experiment: ExperimentSpec) -> None:
    dump = json.loads(json.dumps(experiment.model_dump(mode="json")))
    assert ExperimentSpec.model_validate(dump) == experiment
    assert pickle.loads(pickle.dumps(experiment)) == experiment


def test_every_step_of_the_reference_is_read(write: Write) -> None:
    program = """
  - on_signal:
      signal: SIGBUS
      as: page
      steps: [{mprotect: {addr: page(page), length: PAGE_SIZE, prot: none, expect: any}}]
  - mmap: {length: 1 MiB, as: m}
  - mremap: {addr: m, old_length: 1 MiB, new_length: 2 MiB, flags: MAYMOVE, as: m}
  - draw: {region: m, pattern: {type: graph}, as: p}
  - {touch: {addr: p, op: write, work: 5 ns}}
  - {if: {cond: p >= m and not p % 2, then: [{compute: 1 us}], else: [{sleep: 1 ms}]}}
  - {munmap: {addr: m, length: 4096, expect: EINVAL}}
  - {mlock: {addr: m, length: 4096}}
  - {mlock2: {addr: m, length: 4096, flags: 3, expect: EINVAL}}
  - {munlock: {addr: m, length: 4096}}
  - {mlockall: {flags: [MCL_CURRENT, ONFAULT]}}
  - munlockall:
  - {madvise: {addr: m, length: 4096, advice: DONTNEED}}
  - {msync: {addr: m, length: 4096, flags: SYNC}}
  - {mincore: {addr: m, length: 4096}}
  - {brk: {addr: 0, as: end}}
  - {setrlimit: {resource: RLIMIT_MEMLOCK, soft: 2 * PAGE_SIZE, hard: unlimited}}
  - exit: {}
"""
    spec = load_experiment(write(f"title: x\nmachine: whiteboard\nprogram:{program}"))
    steps = spec.runs[0].tasks[0].program
    assert steps[3].length == Num(2 << 20), "mremap sets the region's length anew"
    assert steps[-2].hard == Num(RLIM_INFINITY)
    assert ExperimentSpec.model_validate(spec.model_dump(mode="json")) == spec


def test_an_experiment_of_one_program() -> None:
    spec = make_experiment({"title": "Nothing much", "machine": {"ram": "1 GiB"}, "program": [{"compute": "5 us"}]})
    run = spec.runs[0]
    assert (run.row_id, run.row_name, run.tasks[0].name) == ("nothing-much", "Nothing much", "main")


def test_specs_in_python_and_in_yaml_are_the_same() -> None:
    machine = MachineSpec(ram="1 GiB", cpus=2, costs={"trap": "1 us"})
    spec = make_experiment({"title": "x", "machine": machine, "program": [MmapStep(length="1 MiB", as_="m")]})
    assert spec.runs[0].machine == machine
    text = "title: x\nmachine: {ram: 1 GiB, cpus: 2, costs: {trap: 1 us}}\nprogram: [{mmap: {length: 1 MiB, as: m}}]"
    assert make_experiment(yaml.safe_load(text)) == make_experiment(
        {"title": "x", "machine": machine, "program": [{"mmap": {"length": 1 << 20, "as": "m"}}]}
    )


def test_options_change_the_file_before_rows_do(write: Write) -> None:
    options = ("kernel.version=4.3", "tasks.reader.vars.batch=2", "kernel.sysctl.vm.swappiness=10", "seeds=[3, 5]")
    spec = load_experiment(write(EXPERIMENT), (*options, "rows.b16.name=sixteen", "machine.ram=32 GiB", "rows[0].id=p"))
    assert [run.kernel.version for run in spec.runs] == ["4.3"] * 3
    assert [run.tasks[0].vars["batch"] for run in spec.runs] == [2, 16, 2]
    assert [run.kernel.sysctl["vm.swappiness"] for run in spec.runs] == [10] * 3
    assert [(run.row_id, run.row_name) for run in spec.runs[:2]] == [("p", "plain"), ("b16", "sixteen")]
    assert spec.runs[0].machine.ram == 32 << 30
    assert spec.seeds == (3, 5)
    assert spec.overrides[0] == "kernel.version=4.3"


def test_a_row_may_have_another_machine(write: Write, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("ram: 8 GiB\ndevices: {sdb: {type: hdd}}")
    text = EXPERIMENT.replace("set: {tasks", "set: {machine: small, machine.cpus: 3, tasks")
    spec = load_experiment(write(text))
    assert [run.machine.ram >> 30 for run in spec.runs] == [16, 8, 16]
    assert spec.runs[1].machine.cpus == 3
    assert spec.runs[1].files["graph"].device == "sdb"


def test_machines_are_found_by_name_beside_the_file_then_here_then_packaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside, here = tmp_path / "a", tmp_path / "b"
    beside.mkdir()
    (here / "configs").mkdir(parents=True)
    monkeypatch.chdir(here)
    text = "title: x\nmachine: whiteboard\nprogram: [{compute: 1 us}]"
    (beside / "e.yaml").write_text(text)

    def ram() -> int:
        return load_experiment(beside / "e.yaml").runs[0].machine.ram

    assert ram() == load_machine("whiteboard").ram == 4 << 20
    (here / "configs" / "whiteboard.yaml").write_text("ram: 8 MiB")
    assert ram() == load_machine("whiteboard").ram == 8 << 20
    (beside / "whiteboard.yaml").write_text("ram: 16 MiB")
    assert ram() == 16 << 20
    (beside / "e.yaml").write_text(text.replace("whiteboard", "../b/configs/whiteboard.yaml"))
    assert ram() == 8 << 20


def test_a_file_of_its_own_name_is_no_machine(tmp_path: Path) -> None:
    path = tmp_path / "whiteboard.yaml"
    path.write_text("title: x\nmachine: whiteboard\nprogram: [{compute: 1 us}]")
    assert load_experiment(path).runs[0].machine.ram == 4 << 20


def test_replayed_pages_are_found_beside_the_file(write: Write, tmp_path: Path) -> None:
    (tmp_path / "trace.npy").write_bytes(b"")
    steps = (
        "[{mmap: {length: 1 MiB, as: m}}, {access: {region: m, count: 3, pattern: {type: replay, file: trace.npy}}}]"
    )
    spec = load_experiment(write(f"title: x\nmachine: whiteboard\nprogram: {steps}"))
    assert spec.runs[0].tasks[0].program[1].pattern.file == str((tmp_path / "trace.npy").resolve())


@pytest.mark.parametrize("name", ["nothing-of-this-name", "no/such/file.yaml", "x\0y", "y" * 5000, "."])
def test_what_does_not_exist_is_an_error(name: str) -> None:
    for load in (load_experiment, load_machine):
        with pytest.raises(SpecError):
            load(name)


def test_unreadable_files_are_errors(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"title: x\n\xff\xfe\n")
    with pytest.raises(SpecError) as error:
        load_experiment(binary)
    assert [(p.line, "not UTF-8" in p.message) for p in error.value.problems] == [(2, True)]
    with pytest.raises(SpecError, match="can't be read"):
        load_experiment(tmp_path)


def test_importing_the_room_costs_nothing_and_loading_leaves_the_heavy_libraries_alone() -> None:
    code = (
        "import sys; import vmsim.spec; assert 'pydantic' not in sys.modules;"
        "from vmsim.spec.load import load_machine; load_machine('whiteboard');"
        "print([m for m in ('numba', 'numpy', 'pyarrow', 'matplotlib', 'rich', 'typer') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[3]
    env = {**os.environ, "PYTHONPATH": str(root)}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert out.stdout.strip() == "[]"
