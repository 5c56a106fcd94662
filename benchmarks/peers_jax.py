"""The double well as a JAX user writes it: one compiled loop, Threefry normals, float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)

Sample = Callable[[], np.ndarray]


def fixed_horizon(n: int, steps: int, dt: float, sigma: float) -> Sample:
    """Final states of n paths."""
    noise = sigma * math.sqrt(dt)

    @jax.jit
    def simulate(key):
        def body(k, x):
            z = jax.random.normal(jax.random.fold_in(key, k), (n,), dtype=jnp.float64)
            return x - dt * (x * x * x - x) + noise * z

        return jax.lax.fori_loop(0, steps, body, jnp.full(n, -1.0))

    key = jax.random.PRNGKey(0)
    return lambda: np.asarray(simulate(key))


def exit_steps_vmapped(n: int, dt: float, sigma: float) -> Sample:
    """Steps to the exit through 0: a while loop for one path, mapped over paths."""
    noise = sigma * math.sqrt(dt)

    def one(key):
        def body(carry):
            x, k = carry
            z = jax.random.normal(jax.random.fold_in(key, k), dtype=jnp.float64)
            return x - dt * (x * x * x - x) + noise * z, k + 1

        return jax.lax.while_loop(lambda carry: carry[0] < 0.0, body, (-1.0, 0))[1]

    simulate = jax.jit(jax.vmap(one))
    keys = jax.random.split(jax.random.PRNGKey(0), n)
    return lambda: np.asarray(simulate(keys))


def exit_steps_masked(n: int, dt: float, sigma: float) -> Sample:
    """Steps to the exit through 0: one loop over the batch, paths that are out masked."""
    noise = sigma * math.sqrt(dt)

    @jax.jit
    def simulate(key):
        def body(carry):
            x, k, alive, tau = carry
            z = jax.random.normal(jax.random.fold_in(key, k), (n,), dtype=jnp.float64)
            x = x - dt * (x * x * x - x) + noise * z
            out = alive & (x >= 0.0)
            return x, k + 1, alive & ~out, jnp.where(out, k + 1, tau)

        start = (jnp.full(n, -1.0), 0, jnp.ones(n, bool), jnp.zeros(n, jnp.int64))
        return jax.lax.while_loop(lambda carry: carry[2].any(), body, start)[3]

    key = jax.random.PRNGKey(1)
    return lambda: np.asarray(simulate(key))
