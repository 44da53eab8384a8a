"""A sweep makes a row of every combination of its axes' values."""

from __future__ import annotations

from itertools import product

import pytest

from vmsim.errors import SpecError
from vmsim.spec.load import load_experiment, make_experiment

SWEPT = {
    "title": "A sweep",
    "machine": "laptop-ssd",
    "constants": {"big": "256 MiB"},
    "program": [{"compute": "1 us"}],
    "sweep": {
        "RAM": {"key": "machine.ram", "values": ["128 MiB", "${big}"]},
        "vm.swappiness": {"key": "kernel.sysctl.vm.swappiness", "values": [0, 60, 100]},
    },
}


def test_every_combination_is_a_row():
    runs = make_experiment(SWEPT).runs
    expected = list(product((128 << 20, 256 << 20), (0, 60, 100)))
    assert [(run.machine.ram, run.kernel.sysctl["vm.swappiness"]) for run in runs] == expected
    assert runs[4].row_name == "RAM 256 MiB, vm.swappiness 60"
    assert runs[4].row_id == "256-mib-60"
    assert runs[4].at == {"RAM": "256 MiB", "vm.swappiness": "60"}
    assert runs[4].line is None


def test_each_row_of_the_file_at_every_point():
    """Rows are lines: a point's values come after what the row itself sets."""
    rows = [{"name": "one", "id": "a"}, {"name": "two", "set": {"machine.cpus": 2, "machine.ram": "1 GiB"}}]
    runs = make_experiment({**SWEPT, "rows": rows}).runs
    assert [(run.line, run.machine.cpus, run.machine.ram >> 20) for run in runs[::3]] == [
        ("one", 4, 128), ("one", 4, 256), ("two", 2, 128), ("two", 2, 256),
    ]  # fmt: skip
    assert [run.row_id for run in runs[:2]] == ["a-128-mib-0", "a-128-mib-60"]
    assert runs[0].row_name == "one, RAM 128 MiB, vm.swappiness 0"


def test_a_row_with_a_place_of_its_own_is_a_point_and_no_line():
    rows = [{"name": f"{n} programs", "at": {"programs": n}} for n in (1, 2)]
    runs = make_experiment({**SWEPT, "rows": rows}).runs
    assert [(run.line, run.at["programs"]) for run in runs[::6]] == [(None, "1"), (None, "2")]


def test_whole_mappings_have_names():
    axis = {"key": "machine.devices.sda", "values": [{"type": "hdd"}, {"type": "nvme"}], "names": ["disk", "NVMe"]}
    runs = make_experiment({**SWEPT, "sweep": {"swap on": axis}}).runs
    assert [(run.machine.devices["sda"].type, run.at["swap on"]) for run in runs] == [("hdd", "disk"), ("nvme", "NVMe")]


@pytest.mark.parametrize(
    ("sweep", "line", "told"),
    [
        ("{RAM: {kye: machine.ram, values: [128 MiB]}}", 4, "no key 'kye'; did you mean 'key'"),
        ("{RAM: {key: machine.ram, values: []}}", 4, "sweep.RAM.values: expected a list of at least one value"),
        ("{RAM: {key: machine.ram, values: [128 MiB, 128 MiB]}}", 4, "'128 MiB' is twice on this axis"),
        ("{RAM: {key: machine.rma, values: [128 MiB]}}", 4, "no key 'rma'; did you mean 'ram'"),
        ("{RAM: {key: machine.ram, values: [128 MB/s]}}", 4, "is not a unit of a size"),
        ("{s: {key: kernel.sysctl.vm.swapiness, values: [1]}}", 4, "vm.swappiness"),
        ("{d: {key: machine.devices.sda, values: [{type: hdd}]}}", 4, "needs a name under `names`"),
        ("{d: {key: machine.cpus, values: [1, 2], names: [one]}}", 4, "1 names for 2 values"),
        ("{d: {key: constants.n, values: [\"${m}\"]}}", 4, "no constant 'm'"),
        ("{a: {key: machine.cpus, values: [%s]}, b: {key: constants.n, values: [%s]}}" % ((", ".join(map(str, range(1, 102))),) * 2), 4,
         "10201 rows are more than 10000"),
        ("3", 4, "sweep: expected a mapping"),
        ("{RAM: {key: machine.ram, values: [128 MiB]}}\ncurves: {x: Ram}", 5, "no axis of the sweep 'Ram'; did you mean 'RAM'"),
        ("{RAM: {key: machine.ram, values: [128 MiB]}}\ncurves: {y: [totla]}", 5, "no phase or counter 'totla'; did you mean 'total'?"),
        ("{RAM: {key: machine.ram, values: [128 MiB]}}\ncurves: {y: [total.pswpinn]}", 5, "no counter 'pswpinn'; did you mean 'pswpin'?"),
        ("{RAM: {key: machine.ram, values: [128 MiB]}}\ncurves: {y: [tota.pswpin]}", 5, "y[0]: no phase 'tota'; did you mean 'total'?"),
        ("{RAM: {key: machine.ram, values: [128 MiB]}}\ncurves: {y: [total.vma_count]}", 5, "vma_count is known of whole runs only"),
        ("{s: {key: seed, values: [1, 2]}}", 4, "seed belongs to the whole experiment"),
    ],
)  # fmt: skip
def test_mistakes(tmp_path, sweep, line, told):
    path = tmp_path / "bad.yaml"
    path.write_text(f"title: bad\nmachine: laptop-ssd\nprogram: [{{compute: 1 us}}]\nsweep: {sweep}\n")
    with pytest.raises(SpecError) as caught:
        load_experiment(path)
    assert told in str(caught.value)
    assert {problem.line for problem in caught.value.problems} == {line}


def test_what_curves_may_show(tmp_path):
    """Phases, with their task's name or not, and counters of a phase and of the run."""
    path = tmp_path / "good.yaml"
    phases = ", ".join(f"{{phase: {{name: {name}, steps: [{{compute: 1 us}}]}}}}" for name in ("work", "v1.0"))
    names = [f"{name}{more}" for name in ("work", "v1.0") for more in ("", " (t)", ".pswpin", " (t).ru_majflt")]
    names += ["pswpin", "signals", "vma_count"]
    path.write_text(
        f"title: good\nmachine: laptop-ssd\ntasks: [{{name: t, program: [{phases}]}}]\ncurves: {{y: [{', '.join(names)}]}}\n"
    )
    assert load_experiment(path).curves.y == tuple(names)
