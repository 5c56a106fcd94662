"""Figures of the chain of wells."""

import numpy as np
import pytest
from matplotlib.patches import FancyArrowPatch

import sdesim as sd
from tests.analysis.jump_process import THREE, simulate
from tests.problems.named import MUELLER_BROWN

TRIPLE = sd.Landscape("x**6/6 - 5*x**4/4 + 2*x**2")
DOUBLE = sd.Landscape("x**4/4 - x**2/2")


def arrows(ax):
    return [p for p in ax.patches if isinstance(p, FancyArrowPatch)]


def test_the_figure_shows_a_graph_and_the_rates_of_every_chain():
    chain = sd.chain.generator(simulate(THREE, (8,), 100.0, seed=1))
    drawn = sd.plot.chain({"estimated": chain, "exact": sd.chain.known(THREE)}, TRIPLE)
    graph, rates = drawn.axes
    assert len(arrows(graph)) == 6
    assert {t.get_text() for t in graph.texts} >= {"1", "2", "3"}
    assert (graph.get_xlabel(), graph.get_ylabel()) == ("x", "f(x)")
    assert [t.get_text() for t in rates.get_xticklabels()] == ["1→2", "1→3", "2→1", "2→3", "3→1", "3→2"]
    assert [t.get_text() for t in rates.get_legend().get_texts()] == ["estimated", "exact"]
    assert rates.get_yscale() == "log"
    assert rates.get_ylabel() == "rate [1/time]"
    drawn.savefig("/dev/null", format="png")


def test_rates_never_seen_are_bounds_and_rare_ones_have_no_arrow():
    rare = np.array([[-1, 1, 0.0], [1, -1.001, 0.001], [0, 0.5, -0.5]])
    with pytest.warns(UserWarning, match="never entered"):
        chain = sd.chain.generator(simulate(rare, (2,), 20.0, seed=1))
    drawn = sd.plot.chain(chain, TRIPLE)
    assert len(arrows(drawn.axes[0])) == 2
    assert [t.get_text() for t in drawn.axes[1].get_legend().get_texts()] == ["never seen: upper bound"]
    # The way into the third well is rare, but the only one.
    assert len(arrows(sd.plot.chain(sd.chain.known(rare), TRIPLE).axes[0])) == 4


def test_a_landscape_of_two_variables_is_drawn_as_contours():
    f = sd.Landscape(MUELLER_BROWN, domain=[(-1.5, 1.2), (-0.2, 2.0)])
    drawn = sd.plot.chain(sd.chain.kramers(f, 3.0), f)
    assert (drawn.axes[0].get_xlabel(), drawn.axes[0].get_ylabel()) == ("x", "y")
    assert len(arrows(drawn.axes[0])) == 4
    assert len(drawn.axes[0].collections) > 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sd.plot.chain(sd.chain.known(THREE), DOUBLE), "2 wells, the chain 3"),
        (lambda: sd.plot.chain(sd.chain.generator(simulate(THREE, (2, 4), 50.0, 1)), TRIPLE), "select values of cell0"),
        (lambda: sd.plot.chain({"a": sd.chain.known(THREE), "b": sd.chain.known(THREE[:2, :2])}, TRIPLE), "numbers"),
    ],
)
def test_chains_that_cannot_be_drawn_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
