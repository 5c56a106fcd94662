"""The figure and the command of a comparison."""

from pathlib import Path

import numpy as np
import pytest

import sdesim as sd
from sdesim.cli import main
from tests.analysis.compare_data import correlated, one_number, recorded

RNG = np.random.default_rng(2)


def files(folder: Path, shift: float = 0.0) -> list[str]:
    a, b = correlated(RNG, 60, 4), correlated(RNG, 50, 4)
    b[:, 2, 3] += shift
    for name, x, seed in (("sgd", a, 1), ("sde", b, 2)):
        sd.save(recorded(x, seed, model=name), folder / f"{name}.zarr")
    return [str(folder / f"{name}.zarr") for name in ("sgd", "sde")]


def test_figure_shows_means_above_and_differences_below() -> None:
    a, b = correlated(RNG, 60, 4), correlated(RNG, 60, 4)
    b[:, 0, 2] += 3
    drawn = sd.plot.compare(sd.compare({"SGD": recorded(a, 1), "SDE": recorded(b, 2)}))
    assert [ax.get_title() for ax in drawn.axes[:3]] == ["loss", "accuracy", "norm"]
    assert [t.get_text() for t in drawn.axes[0].get_legend().get_texts()] == ["SGD", "SDE"]
    assert drawn.axes[3].get_xlabel() == "time"
    marked = [line for line in drawn.axes[3].lines if line.get_marker() == "o"]
    assert [line.get_xdata().tolist() for line in marked if len(line.get_xdata())] == [[2.0]]
    assert [t.get_text() for t in drawn.axes[3].get_legend().get_texts()] == ["means part"]
    mean = drawn.axes[0].lines[1].get_ydata()
    np.testing.assert_allclose(mean, b[:, 0].mean(axis=0))


def test_a_single_time_is_drawn_as_points_with_names() -> None:
    x = RNG.standard_normal(30)
    found = sd.compare({"SGD": one_number(x, 1), "SDE": one_number(x + 2, 2)})
    drawn = sd.plot.compare(found)
    assert [t.get_text() for t in drawn.axes[1].get_xticklabels()] == ["SDE"]


def test_two_files_are_compared_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = files(tmp_path, shift=3.0)
    assert main(["compare", a, b, "--within", "0.05"]) == 0
    printed = capsys.readouterr().out
    assert "sde against sgd (60 and 50 paths, 12 looks, 999 permutations)" in printed
    assert "norm: at time 3 of 4 times" in printed
    assert "do not agree within the 5 % asked for" in printed
    figure = tmp_path / "sgd-compare.png"
    assert figure.read_bytes()[:4] == b"\x89PNG" and str(figure) in printed
    assert main(["compare", a, b]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_options_reach_the_comparison(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = files(tmp_path)
    out = str(tmp_path / "x.png")
    asked = ["--observables", "norm", "--permutations", "99", "--reference", "sde", "--out", out]
    assert main(["compare", a, b, *asked]) == 0
    assert "sgd against sde (50 and 60 paths, 4 looks, 99 permutations)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs FILE first"),
        (["none.zarr"], "none.zarr"),
        (["{a}"], "holds one dynamics"),
        (["{a}", "{a}"], "is named twice"),
        (["{a}", "{b}", "--paired", "si"], "unknown --paired 'si'"),
        (["{a}", "{b}", "--observables", "lass"], "did you mean loss"),
        (["{a}", "{b}", "--obserables", "loss"], "did you mean --observables"),
    ],
)
def test_bad_command_lines_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = files(tmp_path)
    assert main(["compare", *(x.format(a=a, b=b) for x in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_order_in_a_swept_learning_rate_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noisy = sd.SGD(sd.Landscape("(1 + xi)*x**2/2", params={"xi": 0.0}), 0.1, noise=sd.Gaussian(0.2), random="xi")
    equation = sd.EulerMaruyama(sd.modified_equation(noisy), dt=0.01)
    watched, rates = (sd.Record([0.8]),), {"lr": [0.1, 0.2, 0.4]}
    build = {
        name: sd.Experiment(d, 1.0, 20_000, t_max=0.8, observers=watched, vary=rates)
        for name, d in {"SGD": noisy, "SDE": equation}.items()
    }
    model = sd.Model("order", sd.Paper("A, B", "t", 2020), type(sd.Paper("A, B", "t", 2020)), lambda p: build)
    sd.save(model.run(sd.Paper("A, B", "t", 2020), threads=1), tmp_path / "order.zarr")
    assert main(["compare", str(tmp_path / "order.zarr"), "--permutations", "99"]) == 0
    (line,) = [x for x in capsys.readouterr().out.splitlines() if "order in lr" in x]
    assert line.startswith("SDE against SGD: order in lr ")
    order = sd.weak_order(sd.load(tmp_path / "order.zarr"))
    assert str(order) in line and 0.8 < order.low < order.high < 1.3


def test_a_comparison_without_an_order_says_why_and_keeps_its_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loss = sd.Landscape("a*x**2/2", params={"a": 1.0})
    build = {
        name: sd.Experiment(
            sd.SGD(loss, 0.1),
            1.0,
            12,
            t_max=0.8,
            observers=(sd.Record([0.8]),),
            vary={"lr": [0.1, 0.2], "a": [1.0, 2.0]},
        )
        for name in ("first", "second")
    }
    paper = sd.Paper("A, B", "t", 2020)
    model = sd.Model("grid", paper, type(paper), lambda p: build)
    sd.save(model.run(paper, threads=1, engine="reference"), tmp_path / "grid.zarr")
    assert main(["compare", str(tmp_path / "grid.zarr"), "--permutations", "99"]) == 0
    assert "order in lr none: the order over 'lr' needs that sweep alone, swept: lr, a" in capsys.readouterr().out
    assert (tmp_path / "grid-compare.png").exists()
