"""Which modelled kernel a release is compared with."""

from __future__ import annotations

import pytest

from vmsim.arch.rules import nearest_version


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.18.44-generic", "6.18"), ("6.1.177", "6.1"), ("6.8.0-31", "6.1"), ("7.2", "6.18"), ("4.19.1", "4.4"), ("3.10.0", "4.3"),
     ("5", "4.4")],
)  # fmt: skip
def test_the_last_modelled_one_before_it(release: str, version: str) -> None:
    assert nearest_version(release) == version
