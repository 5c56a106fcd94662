"""Equations of callables, and the way to and from torchsde: the same steps, the same law, and what is refused."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
import torchsde

import sdesim as sd
from sdesim.core.ops import NUMPY, SYMBOLIC
from sdesim.core.torch_ops import TORCH
from sdesim.dynamics.parameters import parameters, rebind, structure
from sdesim.dynamics.torchsde_bridge import CallableSDE
from sdesim.engine.reference import draws
from tests import chance

DIAGONAL = {"drift": ["x - x**3 + t", "-y*x"], "diffusion": ["0.4 + x**2/9", "0.3*cos(y)"]}
MATRIX = {"drift": ["-x", "y*x/9 - y + t"], "diffusion": [["0.3", 0, "x/5"], ["t", "0.2*y", 0]]}
NONLINEAR = {"drift": "x - x**3", "diffusion": "s*sqrt(1 + x**2)", "params": {"s": 0.5}}
X = torch.tensor([[0.3, -0.7], [1.5, 2.0], [0.0, 0.1]], dtype=torch.float64)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads that wait for each other on a busy machine made these small tensors a hundred times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def back(sde, **more):
    """The equation after a journey to torchsde and back."""
    module = sd.to_torchsde(sde)
    return sd.from_torchsde(module, sde.dim, None if module.noise_type == "diagonal" else sde.noise_dim, **more)


class Given(torchsde.BaseBrownian):
    """A Brownian motion with given increments, one for each step of length dt."""

    dtype, device, shape, levy_area_approximation = torch.float64, torch.device("cpu"), (), "none"

    def __init__(self, dw, dt):
        self.dw, self.dt, self.shape = dw, dt, dw.shape[1:]

    def __call__(self, ta, tb=None, return_U=False, return_A=False):
        return self.dw[round(float(ta) / self.dt)]

    def __repr__(self):
        return "Given"


def walk(chain, x0, n_paths, n_steps, seed=0):
    """Ends of a chain over tensors, under the noise that the engines draw."""
    x = torch.tensor(np.broadcast_to(x0, (n_paths, chain.dim)).copy(), dtype=torch.float64)
    for k in range(n_steps):
        z = torch.from_numpy(draws(chain, seed, np.arange(n_paths), k))
        x = chain.step(TORCH, x, z, torch.full((n_paths,), k, dtype=torch.float64))
    return x.numpy()


EQUATIONS = {
    "diagonal": DIAGONAL, "matrix": MATRIX, "one factor": {"drift": ["-x", "-y"], "diffusion": 0.5},
    "mixed": {"drift": ["-x", "-y"], "diffusion": ["y", 1]},
    "scaled noise": {**DIAGONAL, "noise": sd.Gaussian(1.5)},
    "constant drift": {"drift": [1, 0], "diffusion": ["x", "y"], "variables": ["x", "y"]},
}  # fmt: skip


@pytest.mark.parametrize("calculus", ["ito", "stratonovich"])
@pytest.mark.parametrize("name", EQUATIONS)
def test_there_and_back_again_the_coefficients_are_the_formulas(name, calculus):
    sde = sd.SDE(**EQUATIONS[name], calculus=calculus)
    there = back(sde)
    assert (there.dim, there.noise_dim, there.calculus) == (2, sde.noise_dim, calculus)
    assert sd.to_torchsde(sde).noise_type == ("general" if name in ("matrix", "mixed") else "diagonal")
    a, b = sde.coefficients(NUMPY, X.numpy(), 0.7)
    full = np.array([[np.broadcast_to(e, 3) for e in row] for row in b], dtype=float).transpose(2, 0, 1)
    drift, diffusion = there.coefficients(TORCH, X, 0.7)
    np.testing.assert_allclose(drift, np.stack([np.broadcast_to(e, 3) for e in a], axis=-1), rtol=1e-15)
    got = torch.diag_embed(diffusion) if there.diffusion_kind == "diagonal" else diffusion
    np.testing.assert_allclose(got, full * sde.noise.scale, rtol=1e-15)


SOLVERS = {
    "Euler, diagonal": (DIAGONAL, "ito", "euler", sd.EulerMaruyama),
    "Euler, matrix": (MATRIX, "ito", "euler", sd.EulerMaruyama),
    "Heun, diagonal": (DIAGONAL, "stratonovich", "heun", sd.Heun),
    "Heun, matrix": (MATRIX, "stratonovich", "heun", sd.Heun),
    "Milstein": (DIAGONAL, "ito", "milstein", sd.Milstein),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_under_the_same_increments_our_chains_are_torchsdes_path_by_path(name):
    equation, calculus, method, make = SOLVERS[name]
    sde, dt, n = sd.SDE(**equation, calculus=calculus), 1 / 64, 128
    chain = make(sde, dt)
    z = np.array([draws(chain, 3, np.arange(16), k) for k in range(n)])
    noise = Given(torch.from_numpy(math.sqrt(dt) * z), dt)
    start = torch.full((16, 2), 0.4, dtype=torch.float64)
    with torch.no_grad():
        theirs = torchsde.sdeint(sd.to_torchsde(sde), start, [0.0, n * dt], bm=noise, method=method, dt=dt)[-1].numpy()
    ours = sd.run(chain, [0.4, 0.4], 16, n_steps=n, seed=3, engine="reference").final_state.values
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)
    if make is not sd.Milstein:
        np.testing.assert_allclose(walk(make(back(sde), dt), 0.4, 16, n, seed=3), ours, rtol=1e-10, atol=1e-10)


def test_substeps_of_callables_are_those_of_formulas():
    for equation in (DIAGONAL, MATRIX):
        sde = sd.SDE(**equation)
        ours = sd.run(sd.EulerMaruyama(sde, 0.05, 3), [0.4, 0.4], 8, n_steps=20, seed=3, engine="reference")
        tensors = walk(sd.EulerMaruyama(back(sde), 0.05, 3), 0.4, 8, 20, seed=3)
        np.testing.assert_allclose(tensors, ours.final_state.values, rtol=1e-12)


def torchsde_ends(sde, method, n_paths, t, dt, seed):
    torch.manual_seed(seed)
    start = torch.ones(n_paths, sde.dim, dtype=torch.float64)
    levy = "space-time" if method == "srk" else "none"
    motion = torchsde.BrownianInterval(
        0.0, t, size=(n_paths, sde.noise_dim), dtype=torch.float64, entropy=seed, levy_area_approximation=levy
    )
    with torch.no_grad():
        return torchsde.sdeint(sd.to_torchsde(sde), start, [0.0, t], bm=motion, method=method, dt=dt)[-1].numpy()


def same_moments(a, b, bias=0.0):
    """Whether the means and the variances of two independent samples agree, up to a known bias."""
    b, a = np.ravel(b), np.ravel(a)
    pairs = [(a, b), ((a - a.mean()) ** 2, (b - b.mean()) ** 2)]
    gaps = [(abs(u.mean() - v.mean()), math.sqrt(u.var() / u.size + v.var() / v.size)) for u, v in pairs]
    return all(gap < chance.WIDTH * error + bias for gap, error in gaps)


@pytest.fixture(scope="module")
def srk():
    """Ends of the stochastic Runge–Kutta scheme of torchsde, strong order 3/2 (Rößler 2010)."""
    return torchsde_ends(sd.SDE(**NONLINEAR), "srk", 40_000, 1.0, 1 / 32, seed=1)


@pytest.mark.parametrize("make", [sd.EulerMaruyama, sd.Milstein])
def test_mean_and_variance_of_a_nonlinear_equation_are_those_of_srk(srk, make):
    ds = sd.run(make(sd.SDE(**NONLINEAR), 1 / 512), 1.0, 200_000, t_max=1.0, seed=2, vary={"s": [0.5, 0.55]})
    right, wrong = ds.final_state.values
    assert same_moments(right, srk, bias=1e-3)
    assert not same_moments(wrong, srk, bias=1e-3)


def test_heun_with_the_drift_correction_has_the_mean_and_variance_of_srk(srk):
    """b b'/2 = s² x/2 taken from the drift: the same equation in Stratonovich's form."""
    corrected = sd.SDE(**{**NONLINEAR, "drift": "x - x**3 - s**2*x/2"}, calculus="stratonovich")
    plain = sd.SDE(**NONLINEAR, calculus="stratonovich")
    right, wrong = (
        sd.run(sd.Heun(sde, 1 / 512), 1.0, 200_000, t_max=1.0, seed=2).final_state.values for sde in (corrected, plain)
    )
    assert same_moments(right, srk, bias=1e-3)
    assert not same_moments(wrong, srk, bias=1e-3)


@pytest.mark.parametrize("equation", [DIAGONAL, MATRIX], ids=["diagonal", "matrix"])
def test_an_equation_from_torchsde_has_the_law_of_torchsdes_euler(equation):
    sde, dt = sd.SDE(**equation), 1 / 32
    theirs = torchsde_ends(sde, "euler", 20_000, 0.5, dt, seed=4)
    ours = walk(sd.EulerMaruyama(back(sde), dt), 1.0, 20_000, 16)
    wrong = walk(sd.EulerMaruyama(back(sd.SDE(**equation, noise=sd.Gaussian(1.15))), dt), 1.0, 20_000, 16)
    for i in (0, 1):
        assert scipy.stats.ks_2samp(ours[:, i], theirs[:, i]).pvalue > chance.ALARM
        assert scipy.stats.ks_2samp(wrong[:, i], theirs[:, i]).pvalue < chance.ALARM


class Scalar:
    """One noise for both coordinates, as torchsde has it: g is (path, d, 1)."""

    noise_type, sde_type = "scalar", "ito"

    def f(self, t, y):
        return -y

    def g(self, t, y):
        return torch.stack([y[:, 0], torch.ones_like(y[:, 0])], dim=-1)[..., None]


class Additive(Scalar):
    noise_type = "additive"

    def g(self, t, y):
        return torch.sin(t + torch.arange(6, dtype=y.dtype).view(2, 3)).expand(len(y), 2, 3)


def test_scalar_and_additive_noise_are_stepped_as_written():
    z = torch.tensor([[0.5], [-1.0], [2.0]], dtype=torch.float64)
    expected = X - 0.04 * X + 0.2 * z * torch.stack([X[:, 0], torch.ones(3, dtype=torch.float64)], dim=-1)
    torch.testing.assert_close(sd.EulerMaruyama(sd.from_torchsde(Scalar(), 2), 0.04).step(TORCH, X, z, 0), expected)
    z = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    chain = sd.EulerMaruyama(sd.from_torchsde(Additive(), 2, 3), 0.04)
    g = torch.sin(0.2 + torch.arange(6, dtype=torch.float64).view(2, 3))
    torch.testing.assert_close(chain.step(TORCH, X, z, 5), X - 0.04 * X + 0.2 * z @ g.T)
    assert chain.noise_dim == 3


def test_paths_of_different_age_are_each_evaluated_at_their_own_time():
    sde = sd.SDE(**MATRIX)
    chain, formula = sd.EulerMaruyama(back(sde), 0.1), sd.EulerMaruyama(sde, 0.1)
    z = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    k = torch.tensor([4.0, 0.0, 4.0], dtype=torch.float64)
    torch.testing.assert_close(chain.step(TORCH, X, z, k), formula.step(TORCH, X, z, k))
    assert not torch.equal(chain.step(TORCH, X, z, k), chain.step(TORCH, X, z, 0 * k))


@pytest.mark.parametrize(("calculus", "make"), [("ito", sd.EulerMaruyama), ("stratonovich", sd.Heun)])
def test_exits_of_callables_are_those_of_formulas_though_lanes_are_reloaded(calculus, make):
    sde = sd.SDE(**MATRIX, calculus=calculus)
    ball = sd.FirstExit(sd.Ball([0, 0], 1.2))
    call = {"x0": [0.4, 0.4], "n_paths": 40, "n_steps": 200, "seed": 3, "observers": [ball]}
    formulas = sd.run(make(sde, 0.02), engine="reference", **call)
    callables = sd.run(make(back(sde), 0.02), block=16, **call)
    assert callables.attrs["engine"] == "tensor"
    assert len(np.unique(formulas.n_steps)) > 10  # so that paths of different age stand side by side
    for name in ("exit_time", "exit_state", "n_steps"):
        np.testing.assert_allclose(callables[name].values, formulas[name].values, rtol=1e-10, err_msg=name)


def test_functions_are_called_with_one_time_and_the_whole_block():
    seen = []

    def drift(t, x):
        seen.append((t.shape, tuple(x.shape)))
        return -x

    k = torch.tensor([4.0, 0.0, 4.0], dtype=torch.float64)
    for autonomous, calls in ((False, 2), (True, 1)):
        seen.clear()
        sde = CallableSDE(drift, lambda t, x: torch.ones_like(x), 2, autonomous=autonomous)
        sd.EulerMaruyama(sde, 0.1).step(TORCH, X, X, k)
        assert seen == [((), (3, 2))] * calls


def test_the_variance_across_a_boundary_is_that_of_the_formulas_on_arrays_and_tensors():
    normal = [0.6, 0.8]
    for equation in (DIAGONAL, MATRIX):
        sde = sd.SDE(**equation)
        want = sd.EulerMaruyama(sde, 0.1).normal_variance(NUMPY, X.numpy(), 2, normal)
        chain = sd.EulerMaruyama(back(sde), 0.1)
        np.testing.assert_allclose(chain.normal_variance(NUMPY, X.numpy(), 2, normal), want, rtol=1e-14)
        np.testing.assert_allclose(chain.normal_variance(TORCH, X, 2, normal).numpy(), want, rtol=1e-14)


def test_arrays_take_the_type_of_a_modules_parameters():
    class Net(torch.nn.Module):
        noise_type, sde_type = "diagonal", "ito"

        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def f(self, t, y):
            return self.layer(y)

        def g(self, t, y):
            return torch.ones_like(y)

    with torch.no_grad():
        drift, diffusion = sd.from_torchsde(Net(), 2).coefficients(NUMPY, X.numpy()[::-1], 0.0)
    assert drift.dtype == diffusion.dtype == np.float64
    assert drift.shape == (3, 2)


def test_a_chain_of_callables_has_what_engines_ask_for():
    chain = sd.EulerMaruyama(back(sd.SDE(**MATRIX)), 0.1)
    assert (chain.dim, chain.noise_dim, chain.variables, chain.params) == (2, 3, ("x0", "x1"), {})
    assert (chain.formulas, chain.continuous) == (False, True)
    assert parameters(chain) == {"dt": 0.1, "sde.noise.scale": 1.0}
    assert rebind(chain, {"dt": 0.2}).clock == 0.2
    assert hash(structure(chain)) == hash(structure(rebind(chain, {"dt": 0.2})))
    assert "0x" not in repr(chain)


def step_with(**more):
    sde = CallableSDE(**{"drift": lambda t, x: -x, "diffusion": lambda t, x: torch.ones_like(x), "dim": 2, **more})
    return sd.EulerMaruyama(sde, 0.1).step(TORCH, X, torch.ones(3, sde.noise_dim), 0)


class Half(Scalar):
    noise_type = "half"


REFUSED = {
    "jumps to torchsde": (
        lambda: sd.to_torchsde(sd.SDE("-x", 1.0, noise=sd.Stable(1.5))), "Brownian motion alone, got Stable.*EulerMaruy"
    ),
    "callables to torchsde": (
        lambda: sd.to_torchsde(sd.from_torchsde(Scalar(), 2)), "got CallableSDE: give torchsde the object itself"
    ),
    "no SDE to torchsde": (lambda: sd.to_torchsde("-x"), r"got str: write SDE\(drift, diffusion\)"),
    "nothing from torchsde": (lambda: sd.from_torchsde(object(), 2), "object has no f, g, noise_type, sde_type"),
    "unknown noise": (lambda: sd.from_torchsde(Half(), 2), "noise_type must be one of diagonal.*got 'half'"),
    "two of one noise": (lambda: sd.from_torchsde(Scalar(), 2, 2), "'scalar' has one noise, got noise_dim=2"),
    "no number of noises": (lambda: sd.from_torchsde(Additive(), 2), "'additive' needs noise_dim=m, the last axis"),
    "shape of f": (
        lambda: step_with(drift=lambda t, x: x[:, :1]),
        r"drift has shape \(3, 1\) for states of shape \(3, 2\), expected \(3, 2\): \(path, d\)",
    ),
    "shape of g": (
        lambda: step_with(diffusion=lambda t, x: x[..., None], diffusion_kind="matrix", noise_dim=3),
        r"diffusion has shape \(3, 2, 1\) for states of shape \(3, 2\), expected \(3, 2, 3\): \(path, d, m\)",
    ),
    "no tensor": (lambda: step_with(drift=lambda t, x: 0.0), "drift has shape float"),
    "dimension": (lambda: step_with(dim=3), r"states have shape \(3, 2\), the SDE expects \(3, 3\)"),
    "noises of a diagonal": (lambda: step_with(noise_dim=3), "each of the 2 coordinates, got noise_dim=3"),
    "kind": (lambda: step_with(diffusion_kind="full"), "must be 'diagonal' or 'matrix', got 'full'"),
    "no function": (lambda: step_with(drift="-x"), r"drift must be a function of \(t, x\), got '-x'"),
    "jumps": (
        lambda: step_with(noise=sd.Stable(1.5, isotropic=True), calculus="stratonovich"), "not defined for noise that"
    ),
    "Heun of an Ito equation": (
        lambda: sd.Heun(sd.from_torchsde(Scalar(), 2), 0.1), "Heun converges to the Stratonovich equation"
    ),
    "symbols": (
        lambda: sd.EulerMaruyama(sd.from_torchsde(Scalar(), 2), 0.1).step(SYMBOLIC, ["x", "y"], ["z"], 0),
        "callables has no formula to compile: run it with engine='tensor'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_meaning_is_refused(case):
    call, words = REFUSED[case]
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
