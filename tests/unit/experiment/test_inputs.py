"""The identity of a spec follows the contents of the files that it reads, not their places."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vmsim.errors import VmsimError
from vmsim.experiment.inputs import digest_of
from vmsim.experiment.plan import sweep_of
from vmsim.spec.load import make_experiment


def _hash(folder: Path, step: dict[str, Any]) -> str:
    data = {
        "title": "t",
        "machine": "whiteboard",
        "tasks": [{"name": "a", "program": [{"mmap": {"length": "64 KiB", "as": "m"}}, step]}],
        "rows": [{"id": "r", "name": "r"}],
    }
    return sweep_of(make_experiment(data, folder=folder)).rows[0].spec_hash


def test_digest_is_that_of_the_contents(tmp_path: Path) -> None:
    """SHA-256 as hashlib gives it of the whole, also of more than one piece."""
    data = bytes(range(256)) * 9000
    (tmp_path / "x").write_bytes(data)
    assert digest_of(str(tmp_path / "x")) == f"sha256:{hashlib.sha256(data).hexdigest()}"
    with pytest.raises(VmsimError, match="can't be read"):
        digest_of(str(tmp_path / "none"))


@pytest.mark.parametrize(
    "step",
    [
        {"trace": "pages"},
        {"trace": {"file": "pages", "limit": 3}},
        {"access": {"region": "m", "count": 3, "pattern": {"type": "replay", "file": "pages.npy"}}},
    ],
    ids=["trace", "trace with keys", "replay"],
)
def test_hash_follows_contents(tmp_path: Path, step: dict[str, Any]) -> None:
    """The same contents elsewhere: the same hash; other contents at the same place: another."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "pages").write_text("0x1000 R\n0x2000 R\n")
    np.save(tmp_path / "one" / "pages.npy", np.array([1, 2, 3]))
    for name in ("pages", "pages.npy"):
        shutil.copy(tmp_path / "one" / name, tmp_path / "two" / name)
    first = _hash(tmp_path / "one", step)
    assert _hash(tmp_path / "two", step) == first
    (tmp_path / "two" / "pages").write_text("0x1000 R\n0x2000 W\n")
    np.save(tmp_path / "two" / "pages.npy", np.array([1, 2, 4]))
    assert _hash(tmp_path / "two", step) != first
