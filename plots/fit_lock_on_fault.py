"""Fit the constants of configs/lock-on-fault-2015.yaml: `python plots/fit_lock_on_fault.py`.

The time of a row is linear in each constant, so one run of the fitted rows with every constant at its present value and one with
each raised in turn give the system of equations.  Each constant is fitted on one published number; what is printed goes into the
machine's `costs`.  The predicted rows are not looked at.
"""

from __future__ import annotations

import sys

import numpy as np

from vmsim.experiment.run import run_one
from vmsim.spec.load import load_experiment

# Constant, and the published number that it is fitted on.
FITTED = {
    "user_access": ("mlock", "processing"),
    "copy_page": ("mlock", "setup"),
    "mlock_drain": ("each", "processing"),
    "vma_change": ("segv-1", "processing"),
    "trap": ("onfault", "processing"),
}


def times_ms(overrides: dict[str, int]) -> np.ndarray:
    """Simulated times of the fitted numbers, ms, with some costs set to so many ns."""
    options = [f"machine.costs.{name}={ns} ns" for name, ns in overrides.items()]
    experiment = load_experiment("lock-on-fault", options)
    rows = {run.row_id: run for run in experiment.runs}
    found = {}
    for row in {row for row, _ in FITTED.values()}:
        result = run_one(rows[row], 0, seed=experiment.seed, outputs=experiment.outputs)
        found.update({(row, phase.phase): phase.elapsed_ns / 1e6 for phase in result.phases})
    return np.array([found[where] for where in FITTED.values()])


def main() -> None:
    """Solve for the constants and print them."""
    experiment = load_experiment("lock-on-fault")
    published = {run.row_id: run.published for run in experiment.runs}
    target = np.array([published[row][phase] / 1e6 for row, phase in FITTED.values()])
    costs = {name: experiment.runs[0].machine.costs[name] for name in FITTED}
    base = times_ms(costs)
    slopes = []
    for name in FITTED:
        slopes.append((times_ms({**costs, name: costs[name] + 1000}) - base) / 1000)
        print(f"{name}: {slopes[-1].round(4)} ms per ns", file=sys.stderr)
    change = np.linalg.solve(np.array(slopes).T, target - base)
    for (name, value), step in zip(costs.items(), change, strict=True):
        print(f"  {name}: {round(value + step)} ns")


if __name__ == "__main__":
    main()
