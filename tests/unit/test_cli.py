"""The command line: what it prints, where, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import synthetic

import vmsim
from vmsim.cli import main
from vmsim.errors import ImpossibleState, VmsimError
from vmsim.experiment.record import RunResult

ROOT = Path(__file__).parents[2]

EXPERIMENT = """
title: Two rows
machine: {title: Tiny, description: A machine for tests., source: none, arch: x86_64, cpus: 1, ram: 64 MiB}
tasks:
  - name: reader
    program:
      - mmap: {length: 1 MiB, prot: [PROT_READ], flags: [MAP_PRIVATE, MAP_ANONYMOUS], as: map}
      - phase: {name: processing, steps: [{access: {region: map, pattern: {type: uniform}, count: 100}}]}
rows:
  - {name: The first, id: onfault, published: {processing: 17.9 s}, facts: {ru_minflt: 81995}}
  - {name: The second, id: plain, set: {tasks.reader.nice: 5}}
seeds: 2
"""

Simulation = Callable[..., RunResult]


def stand_in(run: Any, seed_index: int, **given: Any) -> RunResult:
    """Synthetic results instead of a simulation."""
    given["progress"](1_000_000, 0.5)
    return synthetic.run(run.row_id, seed_index)


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Simulation], None]:
    """An empty working directory, a warm cache, and a way to say what the simulation does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vmsim.struct.jit.is_cache_warm", lambda: True)
    monkeypatch.setattr(vmsim, "__version__", "0.1.0", raising=False)
    (tmp_path / "two.yaml").write_text(EXPERIMENT)

    def use(run_one: Simulation) -> None:
        module = types.ModuleType("vmsim.experiment.run")
        module.run_one = run_one  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "vmsim.experiment.run", module)

    use(stand_in)
    return use


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return synthetic.write_results(
        tmp_path / "results", 1, keep=lambda run: run.row_id in ("onfault", "batch-1-default")
    )


Ended = tuple[int, str, str]


@pytest.fixture
def vm(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs a command in this process; gives its status, standard output and standard error."""

    def run(*words: str) -> Ended:
        capsys.readouterr()
        status = main(words)
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


RUN = ("run", "two.yaml", "--jobs", "1", "--no-plots")


def test_run_makes_results_and_prints_the_table(simulation: object, vm: Callable[..., Ended]) -> None:
    status, out, err = vm(*RUN)
    assert (status, err) == (0, "")
    assert "Two rows: 2 runs a row" in out and "The first" in out and "17,900.000" in out
    assert "results: results/two" in out
    assert json.loads(vm("table", "results/two", "--json")[1])[0]["row_id"] == "onfault"


def test_run_again_makes_only_what_is_missing(
    simulation: Callable[[Simulation], None], vm: Callable[..., Ended]
) -> None:
    made: list[tuple[str, int]] = []

    def noting(run: Any, seed_index: int, **given: Any) -> RunResult:
        made.append((run.row_id, seed_index))
        return stand_in(run, seed_index, **given)

    simulation(noting)
    vm(*RUN, "--rows", "plain", "--seeds", "1")
    assert made == [("plain", 0)]
    _, _, err = vm(*RUN, "--seeds", "2")
    assert made == [("plain", 0), ("onfault", 0), ("onfault", 1), ("plain", 1)]
    assert "1 of 4 runs are in results/two already" in err
    vm(*RUN)
    assert len(made) == 4
    vm(*RUN, "--force")
    assert len(made) == 8


def test_run_hands_the_base_seed_and_outputs_to_the_simulation(
    simulation: Callable[[Simulation], None], vm: Callable[..., Ended]
) -> None:
    seen: list[tuple[int, bool]] = []

    def noting(run: Any, seed_index: int, **given: Any) -> RunResult:
        seen.append((given["seed"], given["outputs"].histogram))
        return stand_in(run, seed_index, **given)

    simulation(noting)
    assert vm(*RUN, "--seeds", "1", "--set", "seed=7", "--set", "outputs.histogram=false")[0] == 0
    assert seen == [(7, False)] * 2


def test_run_refuses_results_of_another_spec(simulation: object, vm: Callable[..., Ended]) -> None:
    vm(*RUN)
    status, _, err = vm(*RUN, "--set", "kernel.version=4.3")
    assert status == 2 and "different spec" in err and "--force" in err
    assert vm(*RUN, "--set", "kernel.version=4.3", "--out", "other")[0] == 0


def test_run_draws_the_plots_that_the_file_names(simulation: object, vm: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(EXPERIMENT + "plots: [bars]\n")
    _, out, _ = vm("run", "two.yaml", "--jobs", "1", "--seeds", "1")
    assert "plot: results/two/plots/bars.png" in out
    assert (tmp_path / "results/two/plots/bars.png").exists()


def test_a_defect_in_one_run_keeps_the_others(
    simulation: Callable[[Simulation], None], vm: Callable[..., Ended]
) -> None:
    def failing(run: Any, seed_index: int, **given: Any) -> RunResult:
        if run.row_id == "plain":
            raise ImpossibleState("frame 7 is on two lists")
        return stand_in(run, seed_index, **given)

    simulation(failing)
    status, out, err = vm(*RUN, "--seeds", "1")
    assert status == 1
    assert "row 'plain', seed 0" in err and "frame 7 is on two lists" in err and "VMSIM_TRACEBACK=1" in err
    assert "Traceback" not in err
    assert "The first" in out and "The second" not in out
    simulation(stand_in)
    assert vm(*RUN, "--seeds", "1")[0] == 0


def test_a_run_that_the_input_is_to_blame_for_ends_with_two(
    simulation: Callable[[Simulation], None], vm: Callable[..., Ended]
) -> None:
    def refusing(run: Any, seed_index: int, **given: Any) -> RunResult:
        raise VmsimError("sda is too small")

    simulation(refusing)
    status, _, err = vm(*RUN)
    assert status == 2 and "sda is too small" in err


def test_an_interrupt_says_what_is_kept(simulation: Callable[[Simulation], None], vm: Callable[..., Ended]) -> None:
    def interrupted(run: Any, seed_index: int, **given: Any) -> RunResult:
        if run.row_id == "plain":
            raise KeyboardInterrupt
        return stand_in(run, seed_index, **given)

    simulation(interrupted)
    status, _, err = vm(*RUN)
    assert status == 130
    assert "1 of 4 runs are kept in results/two" in err
    assert json.loads(vm("table", "results/two", "--json")[1])[0]["runs"] == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("rnu", "x"), "no command 'rnu'; did you mean 'run'?"),
        (("run", "two.yaml", "--sed", "3"), "no option '--sed'; did you mean '--seeds'?"),
        (("run", "two.yaml", "--seeds", "many"), "--seeds: expected a whole number of at least 1, got 'many'"),
        (("run", "two.yaml", "--jobs", "0"), "--jobs: expected a whole number of at least 1, got '0'"),
        (("run",), "required: FILE"),
        (("run", "two.yaml", "extra"), "unexpected argument 'extra'"),
        (("run", "two.yaml", "--rows", "onfalt"), "no row 'onfalt'; did you mean 'onfault'?"),
        (("run", "nothing-like-that"), "no experiment 'nothing-like-that'"),
        (("run", "two.yaml", "--set", "kernel.verson=4.4"), "version"),
        (("table", "nowhere"), "nowhere is not a vmsim result directory"),
        (("table", ".", "--facts"), "--facts goes with --json"),
        (("schema", "machin"), "did you mean 'machine'?"),
    ],
)
def test_mistakes_end_with_two_and_a_hint(
    simulation: object, vm: Callable[..., Ended], words: tuple[str, ...], told: str
) -> None:
    status, out, err = vm(*words)
    assert (status, out) == (2, "")
    assert told in err and "Traceback" not in err


def test_no_command_shows_the_help(vm: Callable[..., Ended]) -> None:
    status, out, _ = vm()
    assert status == 2 and "run an experiment" in out


def test_table_prints_text_and_json(results: Path, vm: Callable[..., Ended]) -> None:
    assert "after 33,597 signals" in vm("table", str(results))[1]
    rows = json.loads(vm("table", str(results), "--json")[1])
    assert (rows[0]["row_id"], rows[0]["phase"]) == ("batch-1-default", "setup")
    facts = json.loads(vm("table", str(results), "--json", "--facts")[1])
    assert [(fact["fact"], fact["stated"]) for fact in facts] == [("signals", 33_597)]


def test_plot_prints_the_paths(results: Path, tmp_path: Path, vm: Callable[..., Ended]) -> None:
    status, out, _ = vm("plot", str(results), "bars", "--out", str(tmp_path / "pictures"), "--format", "svg")
    assert (status, out) == (0, f"{tmp_path / 'pictures' / 'bars.svg'}\n")
    assert (tmp_path / "pictures" / "bars.svg").exists()
    assert vm("plot", str(results), "pie")[0] == 2
    assert vm("plot", str(results), "--format", "gif")[0] == 2


def test_show_prints_an_overview_or_one_run(results: Path, vm: Callable[..., Ended]) -> None:
    assert "batch-1-default" in vm("show", str(results))[1]
    assert "nr_signals" in vm("show", str(results), "--row", "batch-1-default", "--seed", "0")[1]
    status, _, err = vm("show", str(results), "--row", "onfault", "--seed", "9")
    assert status == 2 and "it has 0" in err
    assert "onfault" in vm("show", str(results), "--row", "nothing")[2]
    for option in (("--seed", "0"), ("--proc", "smaps")):
        status, out, err = vm("show", str(results), *option)
        assert (status, out) == (2, "") and "go with --row" in err and "onfault" in err


def test_check_reports_each_file(simulation: object, vm: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(EXPERIMENT.replace("program:", "progam:"))
    machine = next(line for line in EXPERIMENT.splitlines() if line.startswith("machine:")).removeprefix("machine: ")
    (tmp_path / "tiny.yaml").write_text(machine)
    status, out, err = vm("check", "two.yaml", "bad.yaml", "tiny.yaml")
    assert status == 2
    assert out.splitlines() == [
        "two.yaml: ok, an experiment: Two rows, 2 rows of 2 runs",
        "tiny.yaml: ok, a machine: Tiny",
    ]
    assert "bad.yaml:6: " in err and "program" in err
    assert vm("check", "two.yaml")[0] == 0


def test_list_names_what_is_near(simulation: object, vm: Callable[..., Ended], tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text(EXPERIMENT)
    (tmp_path / "experiments" / "broken.yaml").write_text("{")
    status, out, _ = vm("list")
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert status == 0
    assert ["mine", "Two rows"] in lines and any(line[0] == "broken" for line in lines)


def test_bench_reads_its_own_options(vm: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    module = types.ModuleType("vmsim.experiment.bench")
    module.main = seen.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vmsim.experiment.bench", module)
    assert vm("bench", "--quick", "faults")[0] == 0
    assert seen == [["--quick", "faults"]]


def test_trace_wants_an_action_and_a_page_size(vm: Callable[..., Ended]) -> None:
    assert vm("trace")[0] == 2
    status, _, err = vm("trace", "inspect", "x.trace", "--page-size", "4 KiBs")
    assert status == 2 and "--page-size: " in err


def test_schema_is_json(vm: Callable[..., Ended]) -> None:
    schemas = [json.loads(vm("schema", *kind)[1]) for kind in ((), ("experiment",), ("machine",))]
    assert len({json.dumps(schema) for schema in schemas}) == 3
    assert all("json-schema.org" in schema["$schema"] for schema in schemas)


def outside(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "vmsim", *words], env=env, capture_output=True, text=True, check=False, **options
    )


def test_help_loads_nothing_heavy() -> None:
    code = "import sys\nfrom vmsim.cli import main\ntry: main(['--help'])\nfinally: print(sorted(sys.modules), file=sys.stderr)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "COMMAND" in done.stdout
    loaded = set(done.stderr.replace("'", "").strip("[]\n").split(", "))
    assert not loaded & {
        "numba",
        "numpy",
        "matplotlib",
        "pyarrow",
        "pydantic",
        "rich",
        "yaml",
        "simpy",
        "multiprocessing",
    }


def test_python_m_vmsim_is_quick_and_ends_as_it_should(tmp_path: Path) -> None:
    began = time.monotonic()
    assert outside("--help").returncode == 0
    assert time.monotonic() - began < 4  # ten times the target: a guard against loading everything, not a measurement
    done = outside("table", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"vmsim: {tmp_path} is not a vmsim result directory: it has no run.json\n"


def test_a_defect_is_one_line_and_a_traceback_only_on_request(results: Path) -> None:
    sabotage = {"MPLCONFIGDIR": "/dev/null/x", "PYTHONWARNINGS": "ignore"}
    code = "import sys, vmsim.experiment.store as s\ns.load_results = lambda d: 1 / 0\n"
    code += "from vmsim.cli import main\nsys.exit(main(['table', 'x']))"
    for wanted in ("", "1"):
        env = {**os.environ, **sabotage, "PYTHONPATH": str(ROOT), "VMSIM_TRACEBACK": wanted}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert ("Traceback" in done.stderr) is bool(wanted)
        assert "ZeroDivisionError: division by zero" in done.stderr


def test_a_closed_pipe_is_silent(tmp_path: Path) -> None:
    results = synthetic.write_results(tmp_path / "r", 1)
    command = f"{sys.executable} -m vmsim show {results} --row onfault | head -n 1"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, shell=True, env=env, capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines(), done.stderr) == (["onfault: mlock2(MLOCK_ONFAULT) of the whole range"], "")
