"""Ways to write experiments and to get their problems; `example.yaml` is a valid one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vmsim.errors import Problem, SpecError
from vmsim.spec.load import load_experiment

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an experiment's text to a file and returns its path."""

    def written(text: str) -> Path:
        path = tmp_path / "experiment.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return written


@pytest.fixture
def problems(write: Write) -> Callable[..., tuple[Problem, ...]]:
    """The problems of an experiment's text under some options."""

    def found(text: str, *options: str) -> tuple[Problem, ...]:
        with pytest.raises(SpecError) as error:
            load_experiment(write(text), options)
        return error.value.problems

    return found
