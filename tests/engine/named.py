"""Dynamics that the tests of the engine share: one compiled kernel each."""

from __future__ import annotations

from typing import Any

import sdesim as sd

WELL = sd.Landscape("x**4/4 - x**2/2")
PLANE = sd.Landscape("(x**2 - 1)**2/4 + y**2/2 + x*y/10")
SPACE = sd.Landscape("(x**2 - 1)**2/4 + y**2/2 + z**2 + x*z/5")
LEFT = sd.Interval(-1.7, 0.0)  # around the left well of WELL
LAWS = [sd.Gaussian(4.0), sd.Stable(1.5, scale=0.8), sd.Pareto(1.2, 0.3), sd.StudentT(3.0, 2.0), sd.Uniform(6.0)]
MODE = sd.Landscape("(u*v - S)**2/2 + xi*u*v", params={"S": 1.0, "xi": 0.0})


def euler(drift: Any, diffusion: Any, dt: float = 0.02, substeps: int = 1, **more: Any) -> sd.EulerMaruyama:
    return sd.EulerMaruyama(sd.SDE(drift, diffusion, **more), dt, substeps)


def well(diffusion: float = 0.7, dt: float = 0.02) -> sd.EulerMaruyama:
    return euler(-WELL.gradient, diffusion, dt)


def sgd(law: Any, lr: float = 0.05) -> sd.SGD:
    return sd.SGD(WELL, lr, noise=law)


def clipped(b: float = 0.5, scale: float = 1.0) -> sd.Projected:
    return sd.Projected(sd.Truncated(sgd(sd.Pareto(1.2, scale)), b), sd.Interval(-1.5, 1.5))


def linear(rate: float = 1.0, diffusion: float = 0.6, dt: float = 0.02, noise: Any = None) -> sd.EulerMaruyama:
    return euler("-k*x", diffusion, dt, params={"k": rate}, noise=noise or sd.Gaussian())


def plane(rate: float = 1.0, diffusion: float = 1.0, dt: float = 0.02) -> sd.EulerMaruyama:
    return euler(["-k*x", "-k*y"], diffusion, dt, params={"k": rate})


def brownian(dim: int, diffusion: float = 1.0, dt: float = 0.01, noise: Any = None) -> sd.EulerMaruyama:
    return euler([0] * dim, diffusion, dt, noise=noise or sd.Gaussian(), variables=["x", "y", "z"][:dim])
