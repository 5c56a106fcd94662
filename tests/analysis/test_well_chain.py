"""What follows from a generator: against matrix exponentials, linear solves and deeptime."""

import deeptime.markov.tools.analysis as deep
import numpy as np
import pytest
import scipy.linalg

import sdesim as sd
from sdesim.analysis.wells import matrix
from tests.analysis.jump_process import THREE, simulate


def generators(m, n=4, seed=0):
    """Random generators whose rates span four orders."""
    rng = np.random.default_rng(seed)
    return matrix.with_diagonal(rng.exponential(size=(n, m, m)) * 10 ** rng.uniform(-2, 2, (n, m, m)))


@pytest.mark.parametrize("m", [2, 3, 5])
def test_functions_of_a_generator_are_those_of_deeptime_for_the_chain_in_small_steps(m):
    many = generators(m)
    laws, times = matrix.stationary(many), matrix.first_passage(many)
    halfway = matrix.committor(many, [0], [1])
    for q, law, time, way in zip(many, laws, times, halfway, strict=True):
        dt = 0.5 / np.abs(q).max()
        step = np.eye(m) + q * dt  # the same stationary law, committors and mean times as the chain in continuous time
        np.testing.assert_allclose(law, deep.stationary_distribution(step), rtol=1e-9)
        np.testing.assert_allclose(way, deep.committor(step, [0], [1]), atol=1e-12)
        for j in range(m):
            np.testing.assert_allclose(time[:, j], deep.mfpt(step, [j]) * dt, rtol=1e-9)


def test_relaxation_times_and_transition_matrices_are_those_of_scipy():
    q = generators(4, seed=1)
    slow = np.sort(-1 / np.sort(scipy.linalg.eigvals(q[0]).real)[:-1])[::-1]
    np.testing.assert_allclose(matrix.relaxation(q)[0], slow, rtol=1e-10)
    np.testing.assert_allclose(matrix.propagator(q, 0.3)[2], scipy.linalg.expm(0.3 * q[2]), atol=1e-13)


def test_shares_of_a_birth_and_death_chain_are_exact_far_below_rounding():
    up, down = [1e-9, 2e-7, 3e-8, 1e-5], [1.0, 5.0, 0.1, 2.0]
    q = matrix.with_diagonal(np.diag(up, 1) + np.diag(down, -1))
    law = np.cumprod([1.0, *np.array(up) / np.array(down)])
    np.testing.assert_allclose(matrix.stationary(q), law / law.sum(), rtol=1e-14)


def test_the_chain_watched_on_some_wells_keeps_their_shares_and_committors():
    q = generators(5, seed=2)[0]
    seen = matrix.watched(q, [0, 2, 4])
    law = matrix.stationary(q)[[0, 2, 4]]
    np.testing.assert_allclose(matrix.stationary(seen), law / law.sum(), rtol=1e-12)
    both = matrix.committor(q, [0], [4])[2], matrix.committor(seen, [0], [2])[1]
    np.testing.assert_allclose(*both, rtol=1e-12)


def test_a_well_that_is_not_reached_has_an_infinite_mean_time():
    q = matrix.with_diagonal(np.array([[0, 1, 0], [1, 0, 1.0], [0, 0, 0]]))
    assert matrix.first_passage(q).tolist() == [[0, 1, 3], [np.inf, 0, 2], [np.inf, np.inf, 0]]
    assert matrix.committor(q, [0], [2]).tolist() == [0, 0.5, 1]


def test_a_known_chain_passes_the_errors_of_its_rates_on():
    exact = np.array([[0, 2.0], [1.0, 0]])
    chain = sd.chain.known(sd.theory.Reference(exact, 0.01, "two rates"), wells=[-1.0, 1.0])
    law = chain.stationary()
    np.testing.assert_allclose(law.value, [1 / 3, 2 / 3])
    # dπ_0 = (a db - b da) / (a + b)²: at worst (2 + 1) 0.01 / 9.
    np.testing.assert_allclose(law.error, 0.01 * 3 / 9, rtol=0.01)
    assert law.value.dims == ("well",)
    assert law.value.well.values.tolist() == [-1.0, 1.0]


def test_what_follows_from_an_estimated_chain_has_intervals_and_names():
    chain = sd.chain.generator(simulate(THREE, (8,), 400.0, seed=1))
    for estimate, exact, units in [
        (chain.stationary(), matrix.stationary(THREE), "1"),
        (chain.mean_first_passage_times(), matrix.first_passage(THREE), "time"),
        (chain.committor([0], [2]), matrix.committor(THREE, [0], [2]), "1"),
        (chain.relaxation_times(), matrix.relaxation(THREE), "time"),
        (chain.transition_matrix(0.7), scipy.linalg.expm(0.7 * THREE), "1"),
        (chain.exit_rates(), -np.diag(THREE), "1/time"),
    ]:
        value, low, high = (np.asarray(x) for x in (estimate.value, estimate.low, estimate.high))
        assert (low <= value).all()
        assert (value <= high).all()
        wide = 3 * (high - low) + 1e-12
        assert ((low - wide <= exact) & (exact <= high + wide)).all()
        assert estimate.value.attrs["units"] == units
        assert "posterior draws" in estimate.method
    jumps = chain.jump_probabilities().value
    np.testing.assert_allclose(jumps.sum("to_well"), 1.0)


def test_a_chain_on_some_wells_has_the_draws_of_the_whole():
    chain = sd.chain.generator(simulate(THREE, (8,), 400.0, seed=1))
    part = chain.watched_on([0, 2])
    np.testing.assert_allclose(part.matrix, matrix.watched(np.asarray(chain.matrix), [0, 2]))
    assert (part.rates.low <= part.matrix).all()
    assert (part.matrix <= part.rates.high).all()
    assert chain.only([1, 2]).stationary().value.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda c: c.committor([0], [0, 1]), "without a common well"),
        (lambda c: c.committor([0], [3]), "among 0 … 2"),
        (lambda c: c.committor([], [1]), "among 0 … 2"),
        (lambda c: c.only([1]), "at least two wells"),
    ],
)
def test_sets_that_are_no_sets_of_wells_are_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call(sd.chain.known(THREE))


@pytest.mark.parametrize(
    ("rates", "wells", "words"),
    [
        (np.zeros((2, 3)), None, "shape"),
        (-np.ones((2, 2)), None, "not negative"),
        (np.array([[0, np.nan], [1, 0]]), None, "finite"),
        (np.ones((2, 2)), [0.0, 1.0, 2.0], "2 wells"),
    ],
)
def test_matrices_that_are_no_generators_are_refused(rates, wells, words):
    with pytest.raises(ValueError, match=words):
        sd.chain.known(rates, wells)
