"""sdesim: ensembles of stochastic gradient dynamics, from a formula to labelled results.

    import sdesim as sd

    well = sd.Landscape("x**4/4 - x**2/2")
    sde = sd.SDE(drift=-well.gradient, diffusion=0.5)
    ds = sd.run(sd.EulerMaruyama(sde, dt=1e-2), x0=-1.0, n_paths=65_536, t_max=1e4,
                observers=[sd.FirstExit(sd.Interval(high=0.0))])

Public names are loaded when they are first used, so that the import is quick.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "Field": "core.field", "FormulaError": "core.formula",
    "Landscape": "problems.landscape", "Gaussian": "problems.laws", "Stable": "problems.laws",
    "Pareto": "problems.laws", "StudentT": "problems.laws", "Uniform": "problems.laws", "Rademacher": "problems.laws",
    "SDE": "dynamics.sde", "EulerMaruyama": "dynamics.integrators", "SGD": "dynamics.sgd",
    "Heun": "dynamics.heun", "Milstein": "dynamics.milstein",
    "from_torchsde": "dynamics.torchsde_bridge", "to_torchsde": "dynamics.torchsde_bridge",
    "MinibatchSGD": "dynamics.minibatch", "Momentum": "dynamics.minibatch",
    "HeavyTailedSGD": "dynamics.heavy_tailed",
    "SVAG": "dynamics.svag", "MinibatchSVAG": "dynamics.minibatch_svag",
    "modified_equation": "dynamics.modified", "minibatch_sde": "dynamics.minibatch_sde",
    "Objective": "problems.objective",
    "network": "problems.network", "mlp": "problems.architectures", "cnn": "problems.architectures",
    "state_dict": "problems.weights",
    "Truncated": "dynamics.wrappers", "Projected": "dynamics.wrappers", "Tangent": "dynamics.tangent",
    "Interval": "observe.regions", "Ball": "observe.regions", "HalfSpace": "observe.regions",
    "Sublevel": "observe.regions", "Basin": "observe.basin",
    "FirstExit": "observe.first_exit", "Record": "observe.schedule", "Moments": "observe.schedule",
    "Passages": "observe.passages", "Below": "observe.level", "Above": "observe.level",
    "run": "engine.run", "save": "engine.results", "load": "engine.results", "concat": "engine.results",
    "Status": "engine.results", "StabilityWarning": "engine.stability_warning",
    "rare_exit": "study.rare.exit", "rare_exit_time": "study.rare.time",
    "run_to_precision": "study.precision", "Experiment": "study.model", "Paper": "study.model",
    "Claim": "study.model", "Model": "study.model", "from_parts": "study.parts", "occupancy": "analysis.occupancy",
    "compare": "analysis.compare.ensembles", "weak_order": "analysis.compare.order",
    "lyapunov": "analysis.attractivity.lyapunov", "attractivity": "analysis.attractivity.local",
    "mean_log": "analysis.attractivity.mean_log",
}  # fmt: skip
_MODULES = {
    "data": "problems.data", "curvature": "problems.curvature", "tail_index": "analysis.tail_index",
    "exits": "analysis.exits", "sample": "analysis.sample",
    "chain": "analysis.chain", "theory": "analysis.theory",
    "plot": "plot", "invariant": "observe.invariant",
}  # fmt: skip

__all__ = ["__version__", *_WHERE, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = importlib.import_module(f"sdesim.{_MODULES[name]}")
    elif name in _WHERE:
        value = getattr(importlib.import_module(f"sdesim.{_WHERE[name]}"), name)
    else:
        from sdesim.core.checks import near

        raise AttributeError(f"sdesim has no {name!r}: {near(name, __all__)}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
