"""Random programs: after any slice the tables agree, and the ledger is exact, whatever was done and however it
ended.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_programs import machines
from scenario import run_verified, start

from vmsim.machine.verify import verify


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(machine=machines(), stops=st.lists(st.integers(1, 3_000_000), max_size=6))
def test_any_program_keeps_the_laws(machine: dict[str, Any], stops: list[int]) -> None:
    """Stop the machine at random times, verify it each time, and at its end; a run that can't go on says so."""
    built = start(**machine)
    verify(built.kernel)
    ending = run_verified(built, stops)
    assert ending.stuck == bool(ending.waiting)
