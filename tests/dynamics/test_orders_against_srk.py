"""Strong orders where no closed form exists: torchsde's Runge–Kutta scheme on the same Brownian paths is the truth.

The scheme has strong order 3/2 (Rößler 2010), and its steps are half the finest increments that our chains sum.
"""

import itertools
import math

import numpy as np
import pytest
import torch
import torchsde

import sdesim as sd
from sdesim.core.ops import NUMPY
from tests.dynamics.orders import FINE, LEVELS, PATHS, has_order

# The drift is weak, or its error of order 1 would hide Euler's order 1/2 at these steps.
ITO = {"drift": "sin(x)/4", "diffusion": "s*sqrt(1 + x**2)", "params": {"s": 0.7}}
STRATONOVICH = {**ITO, "drift": "sin(x)/4 - s**2*x/2", "calculus": "stratonovich"}  # the same equation: b b'/2 = s² x/2


@pytest.fixture(scope="module")
def same_paths():
    """Increments of Brownian paths and the ends of the solution that they drive."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    motion = torchsde.BrownianInterval(
        0.0, 1.0, size=(PATHS, 1), dtype=torch.float64, entropy=7, levy_area_approximation="space-time"
    )
    grid = np.linspace(0.0, 1.0, FINE + 1)
    start = torch.ones(PATHS, 1, dtype=torch.float64)
    with torch.no_grad():
        increments = np.array([motion(a, b).numpy() for a, b in itertools.pairwise(grid)])
        ends = torchsde.sdeint(
            sd.to_torchsde(sd.SDE(**ITO)), start, [0.0, 1.0], bm=motion, method="srk", dt=0.5 / FINE
        )[-1].numpy()
    torch.set_num_threads(before)
    return increments, ends[:, 0]


def ends_of(make, sde, increments):
    """Ends of chains with ever longer steps, each step driven by the sum of the fine increments it spans."""
    out = []
    for m in LEVELS:
        chain, x = make(sde, m / FINE), np.ones((PATHS, 1))
        for k in range(FINE // m):
            dw = increments[k * m : (k + 1) * m].sum(axis=0)
            x = chain.step(NUMPY, x, dw / math.sqrt(m / FINE), k)
        out.append(x[:, 0])
    return np.array(out)


CHAINS = {
    "Euler": (sd.EulerMaruyama, ITO, 0.5),
    "Milstein": (sd.Milstein, ITO, 1.0),
    "Heun": (sd.Heun, STRATONOVICH, 1.0),
}


@pytest.mark.parametrize("name", CHAINS)
def test_the_strong_order_against_srk_on_the_same_paths(name, same_paths):
    make, equation, order = CHAINS[name]
    increments, truth = same_paths
    ends = ends_of(make, sd.SDE(**equation), increments)
    assert has_order(ends, truth, order)
    assert not has_order(ends, truth, 1.5 - order)
    assert not has_order(ends, np.roll(truth, 1), order)  # another path's noise
