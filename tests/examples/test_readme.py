"""The README says what is true: its files check, its Python runs, its tables are the program's."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from readme_blocks import ACCURACY_HEADS, GENERATED, README, ROOT, code_blocks, generated_part

from vmsim.cli import _COMMANDS, main
from vmsim.spec.load import load_experiment

COMMANDS = (
    "python3.11 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/vmsim run lock-on-fault",
    "python3.11 -m venv .venv && .venv/bin/pip install -q '.[test]' && .venv/bin/python -m pytest",
)


def named_files(folder: Path) -> list[Path]:
    """The README's YAML blocks as files, each under the name that its first line gives in a comment."""
    files = []
    for block in code_blocks("yaml"):
        first, _, _ = block.partition("\n")
        assert first.startswith("# "), f"a YAML block without a name: {first!r}"
        files.append(folder / first.removeprefix("# "))
        files[-1].write_text(block, "utf-8")
    return files


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_starts_from_nothing(command: str) -> None:
    assert f"$ {command}" in README.read_text("utf-8").splitlines()


def test_yaml_blocks_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = named_files(tmp_path)
    assert len(files) >= 3
    assert main(["check", *map(str, files)]) == 0, capsys.readouterr().err


@pytest.mark.slow_without_jit
def test_yaml_experiments_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every experiment of the README runs as it stands and ends in a table."""
    for file in named_files(tmp_path):
        if "machine:" in file.read_text("utf-8"):
            out = tmp_path / "results" / file.stem
            assert main(["run", str(file), "--quiet", "--no-plots", "--jobs", "1", "--out", str(out)]) == 0
            assert main(["table", str(out), "--json"]) == 0
            told = capsys.readouterr().out
            assert json.loads(told[told.index("\n[") :])


@pytest.mark.parametrize("number", range(len(code_blocks("python"))))
def test_python_blocks_run(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(
        compile(code_blocks("python")[number], f"README.md, Python block {number + 1}", "exec"), {"__name__": "readme"}
    )


@pytest.mark.parametrize("name", GENERATED)
def test_generated_parts_are_up_to_date(name: str) -> None:
    """`python tests/examples/readme_blocks.py` writes them anew."""
    assert generated_part(name) == GENERATED[name]()


def test_accuracy_table_has_the_rows_and_numbers_of_the_experiment() -> None:
    lines = [
        [cell.strip() for cell in line.strip("|\n").split("|")] for line in generated_part("accuracy").splitlines()
    ]
    rows = [line for line in lines if len(line) == len(ACCURACY_HEADS)][2:]
    shown = {(name, phase): (kind, published) for name, phase, kind, published, *_ in rows}
    for run in load_experiment("lock-on-fault").runs:
        for phase, published in run.published.items():
            told = (
                f"{published / 1e6:,.3f}" if isinstance(published, int) else f"{published.fails} from {published.call}"
            )
            assert shown[run.row_name, phase] == (run.kind.get(phase, "predicted"), told)


def test_every_command_is_described() -> None:
    text = README.read_text("utf-8")
    assert [name for name in _COMMANDS if f"`vmsim {name}" not in text] == []


def test_files_that_are_named_exist() -> None:
    """Sources, machines and experiments that the README points at are there."""
    for path in re.findall(
        r"`((?:vmsim|configs|experiments|tests|plots)/[\w./-]+\.(?:py|yaml))`", README.read_text("utf-8")
    ):
        assert (ROOT / path).is_file(), path
