"""Pictures: drawn for any shape of results, the same bytes each time, nothing outside the canvas and no label on another."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import pytest
import synthetic

from vmsim.errors import VmsimError
from vmsim.experiment.store import Results
from vmsim.report.plot import KNOWN, draw_plots, with_data
from vmsim.report.plots import bars, cdf, memory, where
from vmsim.report.plots.style import style


@pytest.fixture(scope="module")
def results() -> Results:
    return Results(Path("r"), synthetic.sweep(), tuple(synthetic.all_runs(2)))


@pytest.fixture(scope="module")
def few() -> Results:
    """Two rows only: quicker to draw."""
    rows = tuple(row for row in synthetic.sweep().rows if row.row_id in ("onfault", "plain"))
    return Results(Path("r"), synthetic.sweep(rows=rows), (synthetic.run("onfault"), synthetic.run("plain")))


def one_row() -> Results:
    """One row, nothing published, no phases, no histogram, no series."""
    run = dataclasses.replace(synthetic.run("plain"), phases=(), latency=(), series=())
    rows = tuple(row for row in synthetic.sweep().rows if row.row_id == "plain")
    return Results(Path("r"), synthetic.sweep(rows=rows), (run,))


def test_all_plots_are_drawn(few: Results, tmp_path: Path) -> None:
    names = [name for name in KNOWN if name not in ("curves", "outcomes", "timeline")]  # of sweeps, and of series of memory
    paths = draw_plots(few, tmp_path, names=names)
    assert [path.name for path in paths] == [f"{name}.png" for name in names]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_results_give_the_same_bytes(few: Results, tmp_path: Path, suffix: str) -> None:
    (first,) = draw_plots(few, tmp_path / "a", suffix, ["where"])
    (second,) = draw_plots(few, tmp_path / "b", suffix, ["where"])
    assert first.read_bytes() == second.read_bytes()


def test_plots_that_lack_data_are_not_chosen(results: Results) -> None:
    assert with_data(results) == ["bars", "where", "cdf", "series"]
    assert with_data(one_row()) == ["bars", "where"]


def test_the_smallest_results_can_be_drawn(tmp_path: Path) -> None:
    assert len(draw_plots(one_row(), tmp_path, names=["bars", "where", "memory"])) == 3


def test_bad_requests_are_answered(results: Results, tmp_path: Path) -> None:
    with pytest.raises(VmsimError, match="no plot 'bar'; did you mean 'bars'"):
        draw_plots(results, tmp_path, names=["bar"])
    with pytest.raises(VmsimError, match="no plot format 'jpeg'"):
        draw_plots(results, tmp_path, suffix="jpeg")
    with pytest.raises(VmsimError, match="no latency histograms"):
        draw_plots(one_row(), tmp_path, names=["cdf"])
    with pytest.raises(VmsimError, match="no finished runs"):
        draw_plots(Results(Path("r"), synthetic.sweep(), ()), tmp_path)


@pytest.mark.parametrize("plot", [bars, where, memory])
def test_labels_lie_inside_the_picture_and_not_on_each_other(results: Results, plot: object) -> None:
    with style():
        figure = plot.draw(results)  # type: ignore[attr-defined]
        figure.draw_without_rendering()
        for axes in figure.axes:
            shown = [text for text in axes.texts if text.get_text()]
            boxes = [text.get_window_extent() for text in shown]
            assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y0 >= 0 for box in boxes)
            assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])


def test_the_survival_of_a_histogram() -> None:
    times, slower = cdf.survival(cdf.Buckets({(10, 19): 6, (20, 29): 3, (100, 199): 1}))
    assert times == [10, 19, 29, 199]
    assert slower == pytest.approx([1.0, 0.4, 0.1, 0.0])


def test_rival_hypotheses_are_drawn_beside_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directories = [str(synthetic.write_results(tmp_path / name, 1)) for name in ("warm", "cold")]
    picture = tmp_path / "rivals.png"
    script = Path(__file__).parents[3] / "plots" / "rivals.py"
    monkeypatch.setattr("sys.argv", ["rivals.py", str(picture), *directories])
    runpy.run_path(str(script), run_name="__main__")
    assert picture.read_bytes().startswith(b"\x89PNG")
