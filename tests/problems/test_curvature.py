"""Curvature and gradient noise against dense matrices, curvlinops, closed forms and coverage of intervals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import sdesim as sd
from tests import chance

curvature = sd.curvature
PATHS, N = 2, 40


def net(dtype=torch.float64, activation="tanh", loss="cross_entropy", width=7):
    """A network of 67 parameters, more than are decomposed whole."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    inputs = torch.tensor(rng.normal(size=(N, 4)), dtype=dtype)
    if loss == "cross_entropy":
        targets = torch.tensor(rng.integers(0, 4, N))
    else:
        targets = torch.tensor(rng.normal(size=(N, 4)), dtype=dtype)
    module = sd.mlp(4, width, 4, activation=activation).to(dtype)
    return sd.network(module, loss, (inputs, targets), method="vmap")


def point(objective, scale=2.0):
    """Parameters away from the start, where eigenvalues have both signs."""
    return scale * objective.fresh_states(PATHS, 1).to(objective.dtype)


def dense_hessian(objective, x):
    def loss(row):
        return objective.example_losses(row, objective.inputs, objective.targets).mean()

    return torch.stack([torch.func.hessian(loss)(row) for row in x])


def dense_ggn(objective, x):
    """(1/n) Σ Jᵀ ℓ'' J, example by example."""
    total = torch.zeros(len(x), objective.dim, objective.dim, dtype=x.dtype)
    outputs, loss = objective.example_losses.outputs, objective.example_losses.loss
    for p, row in enumerate(x):
        for i in range(objective.n_examples):
            a, b = objective.inputs[i : i + 1], objective.targets[i : i + 1]
            jacobian = torch.func.jacrev(lambda r, a=a: outputs(r, a)[0])(row)
            bend = torch.func.hessian(lambda o, b=b: loss(o[None], b)[0])(outputs(row, a)[0])
            total[p] += jacobian.T @ bend @ jacobian / objective.n_examples
    return total


@pytest.fixture(scope="module")
def objective():
    return net()


@pytest.fixture(scope="module")
def x(objective):
    return point(objective)


@pytest.fixture(scope="module")
def truth(objective, x):
    return {
        "hessian": dense_hessian(objective, x), "ggn": dense_ggn(objective, x), "noise": objective.covariance(x),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["hessian", "ggn", "noise"])
def test_operators_are_the_dense_matrices(objective, x, truth, kind):
    operator = getattr(curvature, kind)(objective, x)
    torch.testing.assert_close(operator.dense(), truth[kind], rtol=1e-9, atol=1e-12)
    v = torch.randn(PATHS, objective.dim, 3, dtype=x.dtype, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(operator @ v, truth[kind] @ v, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("kind", "which"),
    [
        ("hessian", "largest"),
        ("hessian", "smallest"),
        ("hessian", "magnitude"),
        ("ggn", "largest"),
        ("noise", "largest"),
    ],
)
def test_eigenvalues_are_those_of_the_dense_matrix_and_lie_within_their_bounds(objective, x, truth, kind, which):
    found = curvature.eigenvalues(getattr(curvature, kind)(objective, x), 3, which, rtol=1e-6)
    every = torch.linalg.eigvalsh(truth[kind])
    order = (every.abs() if which == "magnitude" else every).argsort(dim=1, descending=which != "smallest")
    expected = every.gather(1, order[:, :3])
    assert found.converged.all()
    distance = (found.values[..., None] - every[:, None]).abs().amin(-1)
    assert (distance <= found.bounds + 1e-12).all()
    torch.testing.assert_close(found.values, expected, rtol=1e-5, atol=1e-7)
    u = found.vectors
    torch.testing.assert_close(u.mT @ u, torch.eye(3, dtype=u.dtype).expand(PATHS, 3, 3), rtol=0, atol=1e-8)


def test_bounds_are_residuals_and_too_few_products_are_seen(objective, x, truth):
    found = curvature.eigenvalues(curvature.hessian(objective, x), 2, rtol=1e-8, max_products=6)
    residual = truth["hessian"] @ found.vectors - found.vectors * found.values[:, None]
    torch.testing.assert_close(found.bounds, residual.norm(dim=1), rtol=1e-6, atol=1e-12)
    assert not found.converged.any()
    every = torch.linalg.eigvalsh(truth["hessian"]).flip(1)[:, :2]
    assert (found.values <= every + 1e-12).all()  # Ritz values come from below


def test_lanczos_goes_on_where_the_space_of_its_start_ends():
    """Of a matrix of rank 2 and 80 rows: two eigenvalues, then zeros."""
    basis = torch.linalg.qr(torch.randn(80, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).Q
    matrix = basis @ torch.diag(torch.tensor([3.0, -2.0], dtype=torch.float64)) @ basis.T
    operator = curvature.Operator(lambda x, v: v @ matrix, torch.zeros(1, 80, dtype=torch.float64), "rank 2")
    found = curvature.eigenvalues(operator, 3)
    np.testing.assert_allclose(found.values[0], [3.0, 0.0, 0.0], atol=1e-10)
    assert curvature.eigenvalues(operator, 1, "smallest").values.item() == pytest.approx(-2.0, abs=1e-10)


def test_a_path_that_is_not_finite_spoils_no_other(objective, x):
    bad = x.clone()
    bad[0, 0] = torch.nan
    found = curvature.sharpness(objective, bad)
    assert torch.isnan(found[0])
    torch.testing.assert_close(found[1], curvature.sharpness(objective, x)[1])
    small = net(width=2)  # decomposed whole
    y = point(small)
    y[1, 3] = torch.nan
    assert torch.isnan(curvature.sharpness(small, y)).tolist() == [False, True]


def test_float32_networks_have_the_curvature_of_float64_ones(objective, x):
    single = net(torch.float32)
    found = curvature.eigenvalues(curvature.hessian(single, x.float()), 2)
    assert found.converged.all()
    expected = curvature.eigenvalues(curvature.hessian(objective, x), 2, rtol=1e-8).values
    torch.testing.assert_close(found.values, expected, rtol=1e-3, atol=1e-4)


def test_relu_networks_have_the_hessian_of_their_smooth_pieces():
    relu = net(activation="relu")
    x = point(relu)
    torch.testing.assert_close(curvature.hessian(relu, x).dense(), dense_hessian(relu, x), rtol=1e-8, atol=1e-12)


def test_curvlinops_finds_the_same(objective, x):
    """An independent implementation of Hessian and Gauss-Newton products, on the module itself."""
    from curvlinops import GGNLinearOperator, HessianLinearOperator

    module = sd.mlp(4, 7, 4, activation="tanh").double()
    with torch.no_grad():
        for p, values in zip(module.parameters(), objective.layout.unflatten(x[0]).values(), strict=True):
            p.copy_(values)
    data = [(objective.inputs, objective.targets)]
    params = list(module.parameters())
    v = torch.randn(objective.dim, dtype=x.dtype, generator=torch.Generator().manual_seed(2))
    for kind, theirs in (("hessian", HessianLinearOperator), ("ggn", GGNLinearOperator)):
        expected = theirs(module, nn.CrossEntropyLoss(), params, data) @ v
        torch.testing.assert_close(
            (getattr(curvature, kind)(objective, x[:1]) @ v[None])[0], expected, rtol=1e-8, atol=1e-10
        )


def test_scipy_finds_the_same_eigenvalues_over_the_bridge_to_curvlinops(objective, x, truth):
    from curvlinops import hutchpp_trace
    from scipy.sparse.linalg import eigsh

    operator = curvature.hessian(objective, x)
    for path in range(PATHS):
        theirs = curvature.to_curvlinops(operator, path)
        expected = eigsh(theirs.to_scipy(), k=2, which="LA", return_eigenvectors=False)[::-1]
        np.testing.assert_allclose(curvature.eigenvalues(operator, 2, rtol=1e-8).values[path], expected, rtol=1e-6)
        v = torch.randn(objective.dim, 2, dtype=x.dtype, generator=torch.Generator().manual_seed(3))
        torch.testing.assert_close(theirs @ v, truth["hessian"][path] @ v)
    torch.manual_seed(0)
    noise = curvature.to_curvlinops(curvature.noise(objective, x))
    assert float(hutchpp_trace(noise, 60)) == pytest.approx(float(curvature.noise_trace(objective, x)[0]), rel=0.2)
    with pytest.raises(ValueError, match="path must be below 2"):
        curvature.to_curvlinops(operator, 2)


def test_least_squares_has_its_matrix_as_hessian_and_as_gauss_newton_matrix():
    a = torch.tensor(np.random.default_rng(1).normal(size=(N, 3)))
    linear = sd.network(nn.Linear(3, 1, bias=False).double(), "mse", (a, a[:, :1]))
    x = torch.tensor([[0.3, -1.0, 2.0]], dtype=torch.float64)
    expected = 2 * a.T @ a / N
    for kind in (curvature.hessian, curvature.ggn):
        torch.testing.assert_close(kind(linear, x).dense()[0], expected)
    assert curvature.sharpness(linear, x).item() == pytest.approx(torch.linalg.eigvalsh(expected)[-1].item())
    assert curvature.hessian_trace(linear, x).item() == pytest.approx(expected.trace().item())


def test_landscapes_have_the_hessian_of_their_formula():
    f = sd.Landscape("x**2*y + 3*y**2")
    x = np.array([[1.0, 2.0], [-0.5, 1.0], [0.0, 0.0]])
    expected = np.array([[[2 * y, 2 * a], [2 * a, 6]] for a, y in x])
    np.testing.assert_allclose(curvature.hessian(f, x).dense(), expected)
    np.testing.assert_allclose(curvature.sharpness(f)(torch.tensor(x)), np.linalg.eigvalsh(expected)[:, -1])
    np.testing.assert_allclose(curvature.hessian_trace(f, x), np.trace(expected, axis1=1, axis2=2))


# Traces


@pytest.mark.parametrize("method", ["hutch++", "hutchinson"])
def test_intervals_of_traces_hold_the_trace_as_often_as_they_say(method):
    """120 seeds; the twin asks for a trace that is 10 % off."""
    source = torch.Generator().manual_seed(3)
    q = torch.linalg.qr(torch.randn(60, 60, dtype=torch.float64, generator=source)).Q
    spectrum = torch.cat([torch.tensor([20.0, 10.0, -5.0]), torch.linspace(0, 1, 57)]).double()
    matrix = q @ torch.diag(spectrum) @ q.T
    operator = curvature.Operator(lambda x, v: v @ matrix, torch.zeros(1, 60, dtype=torch.float64), "test")
    found = [curvature.trace(operator, 30, method, seed=s) for s in range(120)]
    exact = spectrum.sum().item()

    def hits(value):
        return [bool((f.low < value) & (value < f.high)) for f in found]

    assert chance.has_share(hits(exact), 0.95)
    assert chance.has_mean([f.value.item() for f in found], exact)
    assert not chance.has_mean([f.value.item() for f in found], 1.25 * exact)
    assert not chance.has_share(hits(1.25 * exact), 0.95) or method == "hutchinson"


def test_hutch_plus_plus_is_exact_on_few_directions_and_narrower_than_hutchinson(objective, x):
    operator = curvature.noise(objective, x)
    one, other = (curvature.trace(operator, 45, method) for method in ("hutch++", "hutchinson"))
    expected = curvature.noise_trace(objective, x)
    assert (one.high - one.low < 0.5 * (other.high - other.low)).all()
    assert ((one.low <= expected) & (expected <= one.high)).all()


def test_traces_with_enough_products_are_exact(objective, x, truth):
    found = curvature.trace(curvature.ggn(objective, x), objective.dim)
    assert found.n == 0 and torch.equal(found.low, found.high)
    torch.testing.assert_close(found.value, truth["ggn"].diagonal(dim1=1, dim2=2).sum(1))
    assert "exact" in repr(found)


# Noise


def test_noise_without_rank_has_orthonormal_vectors_all_the_same(objective, x):
    """Equal examples have no noise, five of them in two kinds have noise of rank 1."""
    for kinds in (1, 2):
        rows = [i % kinds for i in range(5)]
        few = sd.network(
            sd.mlp(4, 7, 4, activation="tanh").to(x.dtype),
            "cross_entropy",
            (objective.inputs[rows], objective.targets[rows]),
        )
        found = curvature.noise_eigenvalues(few, x, 2)
        unit = torch.eye(2, dtype=x.dtype).expand(len(x), 2, 2)
        torch.testing.assert_close(found.vectors.mT @ found.vectors, unit, rtol=0, atol=1e-10)
        dense = torch.linalg.eigvalsh(few.covariance(x))[:, -2:].flip(1)
        torch.testing.assert_close(found.values, dense, rtol=1e-8, atol=1e-12)


def test_noise_eigenvalues_by_gram_matrix_and_by_products_are_those_of_the_covariance(objective, x, truth):
    every = torch.linalg.eigvalsh(truth["noise"]).flip(1)
    gram = curvature.noise_eigenvalues(objective, x, 3)
    torch.testing.assert_close(gram.values, every[:, :3])
    assert (gram.bounds < 1e-10).all()
    products = curvature.eigenvalues(curvature.noise(objective, x), 3, rtol=1e-8)
    torch.testing.assert_close(products.values, every[:, :3])
    torch.testing.assert_close(curvature.overlap(gram, products), torch.ones(PATHS, dtype=x.dtype))


def test_noise_traces_ratios_and_scales_are_their_definitions(objective, x, truth):
    gradient = objective.gradient(x)
    spread, size = truth["noise"].diagonal(dim1=1, dim2=2).sum(1), gradient.square().sum(1)
    torch.testing.assert_close(curvature.noise_trace(objective, x), spread)
    torch.testing.assert_close(curvature.gradient_square(objective)(x), size)
    torch.testing.assert_close(curvature.noise_to_gradient(objective, x, 8), spread / 8 / size)
    fresh = curvature.noise_to_gradient(objective, batch_size=8, sampling="fresh")(x)
    torch.testing.assert_close(fresh, spread / 8 / size * (N - 8) / (N - 1))
    torch.testing.assert_close(curvature.noise_scale(objective, x), spread / size)


def test_samples_of_the_noises_curvature_have_the_mean_tr_h_sigma(objective, x, truth):
    from sdesim.problems.curvature.noise import noise_forms

    forms = noise_forms(objective, x, 800)
    expected = (truth["hessian"] * truth["noise"]).sum((1, 2))
    for p in range(PATHS):
        assert chance.has_mean(forms[p], expected[p].item())
        assert not chance.has_mean(forms[p], 1.6 * expected[p].item())


def test_alignment_is_the_cosine_of_the_matrices(objective, x, truth):
    h, s = truth["hessian"], truth["noise"]
    expected = (h * s).sum((1, 2)) / (h.norm(dim=(1, 2)) * s.norm(dim=(1, 2)))
    found = curvature.alignment(objective, x, n_products=200, level=1 - 1e-6, interval=True)
    assert ((found.low < expected) & (expected < found.high)).all()
    assert (found.high - found.low < 0.8).all()
    small = net(width=2)
    y = point(small)
    h, s = dense_hessian(small, y), small.covariance(y)
    exact = (h * s).sum((1, 2)) / (h.norm(dim=(1, 2)) * s.norm(dim=(1, 2)))
    torch.testing.assert_close(curvature.alignment(small)(y), exact)


def test_noise_of_least_squares_at_its_best_fit_with_even_residuals_is_aligned():
    """Residuals ±r: gᵢ = ±r aᵢ, so Σ = r² A'A/n = r² H and the cosine is 1."""
    rng = np.random.default_rng(2)
    half = rng.normal(size=(10, 3))
    a = torch.tensor(np.concatenate([half, half]))
    y = torch.tensor(np.repeat([0.7, -0.7], 10))

    def half_square(x, inputs, targets):
        return (inputs @ x - targets) ** 2 / 2

    objective = sd.Objective(half_square, a, y, dim=3)
    x = torch.zeros(1, 3, dtype=torch.float64)
    assert curvature.alignment(objective, x).item() == pytest.approx(1.0)
    assert torch.isinf(curvature.noise_to_gradient(objective, x)) or curvature.noise_to_gradient(objective, x) > 1e20
    top = curvature.eigenvalues(curvature.hessian(objective, x), 2)
    assert curvature.overlap(top, curvature.noise_eigenvalues(objective, x, 2)).item() == pytest.approx(1.0)


# Along a run


def test_curvature_is_recorded_along_a_run(objective, x):
    measures = {
        "sharpness": curvature.sharpness(objective),
        "trace": curvature.hessian_trace(objective, n_products=6),
        "noise": curvature.noise_trace(objective),
        "ratio": curvature.noise_to_gradient(objective, batch_size=4),
        "alignment": curvature.alignment(objective, n_products=2),
    }
    watched = sd.Record([0.0, 0.5, 1.0], values=measures, state=True)
    ds = sd.run(sd.SGD(objective, 0.1, batch_size=4), x.numpy(), PATHS, n_steps=10, observers=[watched])
    assert ds["sharpness"].dims == ("path", "time")
    for j in range(3):
        states = torch.tensor(ds["state"].values[:, j])
        expected = torch.linalg.eigvalsh(dense_hessian(objective, states))[:, -1]
        np.testing.assert_allclose(ds["sharpness"][:, j], expected, rtol=1e-4)
        np.testing.assert_allclose(ds["noise"][:, j], objective.gradient_variance(states).sum(1), rtol=1e-9)
    assert np.isfinite(ds["alignment"]).all() and np.isfinite(ds["trace"]).all()


def test_the_number_of_a_path_does_not_depend_on_the_others(objective, x):
    for measure in (curvature.sharpness, curvature.hessian_trace, curvature.alignment):
        torch.testing.assert_close(measure(objective)(x)[1:], measure(objective)(x[1:]), rtol=1e-6, atol=1e-9)


# The condition for the SDE
