"""The trained networks: their inputs against scikit-learn, their errors by hand, two short trainings with a drop."""

import importlib

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from sdesim.study import catalogue

model = catalogue.find("chen2023collapse")
part = importlib.import_module("sdesim.models.chen2023collapse.networks")


def test_inputs_are_whitened_principal_components_of_the_training_images() -> None:
    (x, _), (u, _) = part.pair()
    found = part.components(x, u)
    by_library = PCA(8, whiten=True).fit(x.astype(float))
    for ours, images in zip(found, (x, u), strict=True):
        theirs = by_library.transform(images.astype(float)) * (len(x) / (len(x) - 1)) ** 0.5
        np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-3)
    np.testing.assert_allclose(np.cov(found[0].T, bias=True), np.eye(8), atol=1e-4)


def test_digits_are_threes_and_eights_none_of_which_is_in_both_halves() -> None:
    (x, y), (u, v) = part.pair()
    assert (len(x), len(u)) == (len(y), len(v)) == (120, 237)
    assert set(np.unique(y)) == set(np.unique(v)) == {-1.0, 1.0}
    assert not {row.tobytes() for row in x} & {row.tobytes() for row in u}


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_error_is_the_share_of_wrong_signs(network: str) -> None:
    loss, error = part.objectives(network, 4)
    weights = loss.fresh_states(3, 1)
    inputs, targets = loss.test
    for row, found in zip(weights, error.test_loss(weights), strict=True):
        outputs = loss.predict(row, inputs)
        assert float(found) == pytest.approx(float((torch.sign(outputs) != targets).double().mean()), abs=1e-6)


def test_a_drop_goes_on_from_the_weights_it_drops_from(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, steps in {"EARLY": 3, "LATE": 6, "LAST": 9}.items():
        monkeypatch.setattr(part, name, steps)
    part.trained.cache_clear()
    part.dropped.cache_clear()
    whole = part.trained(0.1, 0.25, 1)
    np.testing.assert_array_equal(whole["state"].isel(time=1), whole["final_state"])
    late, early = part.dropped(0.1, 0.25, 1, 6), part.dropped(0.1, 0.25, 1, 3)
    assert (int(late["n_steps"][0]), int(early["n_steps"][0])) == (3, 6)
    n = part.objectives("mlp", 32)[0].dim
    begun, middle = (whole["state"].isel(time=i).values[:, :n] for i in (1, 0))
    end = late["final_state"].values[:, :n]
    assert (np.linalg.norm(end - begun, axis=1) > 0).all()
    assert (np.linalg.norm(end - begun, axis=1) < np.linalg.norm(end - middle, axis=1)).all()
    found = part.less("test_loss", lambda seed: late, lambda seed: early)(1, 0.95)
    differences = late["test_loss"].values[:, 0] - early["test_loss"].values[:, 0]
    assert found.value == pytest.approx(differences.mean())
    assert np.ptp(differences) > 0
    part.trained.cache_clear()
    part.dropped.cache_clear()


def test_part_runs_and_draws_its_figure() -> None:
    p = model.params(experiment="networks", n_steps=20, width=4)
    ds = model.run(p, n_paths=3, seed=1, threads=1, progress=False)
    assert list(ds["dynamics"].values) == [f"lr = {lr}, σ = {s}" for lr in ("0.1", "0.01") for s in ("0", "0.25")]
    assert ds["neurons"].max() <= 4
    drawn = model.figure(ds)
    assert [ax.get_ylabel() for ax in drawn.axes] == list(part.SHOWN.values())
    assert all(len(ax.lines) == 4 for ax in drawn.axes)


def test_unknown_network_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown network 'rnn': write 'mlp' or 'cnn'"):
        model.build(model.params(experiment="networks", network="rnn"))
