"""Fixtures for machines whose programs are Python lists (see machine_lab)."""

from __future__ import annotations

import pytest
from machine_lab import FixedModel, Lab


@pytest.fixture
def lab() -> type[Lab]:
    return Lab


@pytest.fixture
def fixed_model() -> type[FixedModel]:
    return FixedModel
