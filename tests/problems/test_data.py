"""Data: sizes, scales and splits; sets from OpenML read from a cache."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sdesim.problems.data import Data, blobs, digits, least_squares, openml, teacher_student


def same(a, b):
    return all(torch.equal(getattr(a, k), getattr(b, k)) for k in ("inputs", "targets", "test_inputs", "test_targets"))


def test_digits_are_all_there_once():
    data = digits()
    assert len(data) + len(data.test_inputs) == 1797
    assert len(data.test_inputs) == 359
    assert (data.inputs.shape[1:], data.inputs.dtype, data.targets.dtype) == ((64,), torch.float32, torch.int64)
    assert (data.inputs.min(), data.inputs.max()) == (0, 1)
    counts = torch.bincount(torch.cat([data.targets, data.test_targets]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # the set's own description
    image = digits(image=True)
    assert image.inputs.shape[1:] == (1, 8, 8)
    assert torch.equal(image.inputs.flatten(1), data.inputs)


@pytest.mark.parametrize("make", [digits, blobs, teacher_student, least_squares])
def test_a_seed_fixes_the_data(make):
    assert same(make(seed=3), make(seed=3))
    assert not same(make(seed=3), make(seed=4))
    assert make().inputs.dtype == torch.float32


def test_least_squares_recovers_its_own_weights():
    exact = least_squares(n=50, d=4, noise=0.0, seed=1)
    a, b = exact.inputs.double(), exact.targets.double()
    w = torch.linalg.lstsq(a, b).solution
    torch.testing.assert_close(exact.test_inputs.double() @ w, exact.test_targets.double(), rtol=1e-5, atol=1e-5)
    noisy = least_squares(n=2000, d=4, noise=0.5, seed=1)
    a, b = noisy.inputs.double(), noisy.targets.double()
    spread = float((b - a @ torch.linalg.lstsq(a, b).solution).std())
    assert abs(spread - 0.5) < 0.05


def test_a_teacher_without_noise_is_one_function_of_the_inputs():
    quiet, noisy = teacher_student(noise=0.0, seed=2), teacher_student(noise=0.3, seed=2)
    assert torch.equal(quiet.inputs, noisy.inputs)
    assert torch.equal(quiet.test_targets, noisy.test_targets)
    assert abs(float((noisy.targets - quiet.targets).std()) - 0.3) < 0.04
    assert quiet.targets.shape == (1000, 1)
    # Rectified neurons without bias: f(c x) = c f(x) for c > 0, and f is not linear.
    a, b = quiet.inputs.double(), quiet.targets.double()
    assert float((b - a @ torch.linalg.lstsq(a, b).solution).std()) > 0.01


def test_blobs_lie_about_their_centres():
    data = blobs(n=3000, d=2, n_classes=3, spread=0.5, seed=1)
    for label in range(3):
        cloud = data.inputs[data.targets == label]
        assert torch.all((cloud.std(0) - 0.5).abs() < 0.05)


def test_head_and_to():
    data = digits()
    assert len(data.head(10)) == 10
    assert torch.equal(data.head(10).inputs, data.inputs[:10])
    assert len(data.head(10).test_inputs) == 359
    double = data.to(dtype=torch.float64)
    assert (double.inputs.dtype, double.targets.dtype) == (torch.float64, torch.int64)
    with pytest.raises(ValueError, match="digits has 1438 examples to learn from, 5000 were asked for"):
        data.head(5000)
    with pytest.raises(ValueError, match="is not there; use one of cpu"):
        data.to("cuda:99")


def write(folder, name, pixels, n=70):
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 256, (n, pixels), dtype=np.uint8)
    targets = rng.integers(0, 10, n)
    np.savez_compressed(folder / f"{name}.npz", inputs=inputs, targets=targets)
    return inputs, targets


@pytest.mark.parametrize(
    ("name", "shape"), [("mnist", (1, 28, 28)), ("fashion-mnist", (1, 28, 28)), ("cifar-10", (3, 32, 32))]
)
def test_openml_sets_are_read_from_the_cache(tmp_path, monkeypatch, name, shape):
    inputs, targets = write(tmp_path, name, int(np.prod(shape)))
    data = openml(name, cache=tmp_path)
    assert data.name == name
    assert data.inputs.shape == (60, *shape)
    assert data.test_inputs.shape == (10, *shape)
    np.testing.assert_array_equal((data.inputs * 255).round().numpy().reshape(60, -1), inputs[:60])
    np.testing.assert_array_equal(data.test_targets.numpy(), targets[60:])
    monkeypatch.setenv("SDESIM_DATA_DIR", str(tmp_path))
    assert same(openml(name), data)


def test_a_fetched_set_is_stored_and_read_again(tmp_path, monkeypatch):
    import sklearn.datasets

    calls = []

    def fetch(name, version, return_X_y, as_frame):
        calls.append(name)
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, (21, 784)).astype(float), np.array([str(i % 10) for i in range(21)], dtype=object)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    first = openml("mnist", cache=tmp_path / "new")
    assert [f.name for f in (tmp_path / "new").iterdir()] == ["mnist.npz"]
    assert same(first, openml("mnist", cache=tmp_path / "new"))
    assert calls == ["mnist_784"]
    assert first.targets[:3].tolist() == [0, 1, 2]


def test_a_set_that_cannot_be_fetched_says_which_file_to_put_where(tmp_path, monkeypatch):
    import sklearn.datasets

    def fetch(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    with pytest.raises(FileNotFoundError) as error:
        openml("cifar-10", cache=tmp_path)
    assert str(tmp_path / "cifar-10.npz") in str(error.value)
    assert "no network" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_wrong_sets_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'minst' is unknown.*mnist"):
        openml("minst")
    write(tmp_path, "mnist", 784)
    broken = (tmp_path / "mnist.npz").read_bytes()[:5000]
    (tmp_path / "mnist.npz").write_bytes(broken)
    with pytest.raises(ValueError, match=r"cannot be read.*remove it to fetch it again"):
        openml("mnist", cache=tmp_path)
    write(tmp_path, "mnist", 100)
    with pytest.raises(ValueError, match=r"has inputs \(70, 100\) and targets \(70,\), expected \(n, 784\)"):
        openml("mnist", cache=tmp_path)
    with pytest.raises(ValueError, match="test_share must be between 0 and 1, got 2"):
        digits(test_share=2)
    with pytest.raises(ValueError, match="noise is a standard deviation"):
        least_squares(noise=-1)
    with pytest.raises(ValueError, match=r"inputs have shape \(3, 2\), targets \(2,\)"):
        Data(torch.ones(3, 2), torch.ones(2), torch.ones(1, 2), torch.ones(1))
