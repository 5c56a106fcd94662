"""Theory of Stratonovich equations: quadrature takes their correction along, the operator refuses their Heun steps."""

import math

import pytest

import sdesim as sd


def test_a_stratonovich_equation_has_the_exit_time_of_its_ito_form() -> None:
    """log X is Brownian motion, which leaves (-1, 1) after a mean time of one."""
    region = sd.Interval(math.exp(-1), math.e)
    circle, ito = (sd.SDE("0*x", "x", calculus=c) for c in ("stratonovich", "ito"))
    assert float(sd.theory.mean_exit_time(circle, 1.0, region).value) == pytest.approx(1.0, rel=1e-9)
    assert float(sd.theory.mean_exit_time(ito, 1.0, region).value) < 0.95
    euler = sd.EulerMaruyama(ito, 0.01)
    assert sd.theory.chain_exit_time(euler, 1.0, region).value > 0
    with pytest.raises(ValueError, match="needs a step linear in its noise, that of Heun is not"):
        sd.theory.chain_exit_time(sd.Heun(circle, 0.01), 1.0, region)
