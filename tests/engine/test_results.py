import json
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from sdesim.dynamics.integrators import EulerMaruyama
from sdesim.dynamics.sde import SDE
from sdesim.engine import results
from sdesim.engine.results import Status
from sdesim.engine.run import run
from sdesim.observe.schedule import Moments


def ensemble(start: int = 0, n: int = 50, seed: int = 7) -> xr.Dataset:
    """A dataset as `run` makes it, filled by hand."""
    paths = np.arange(start, start + n)
    exit_time = np.where(paths % 5 == 0, np.nan, 1.0 + paths / 7)
    status = np.where(paths % 5 == 0, Status.CENSORED, Status.EXITED).astype(np.int8)
    return xr.Dataset(
        {
            "status": ("path", status, Status.attributes()),
            "exit_time": ("path", exit_time, {"units": "time", "long_name": "first exit time"}),
            "n_steps": ("path", (10 * paths).astype(np.int64), {"units": "1", "long_name": "steps"}),
            "final_state": (("path", "component"), np.c_[paths, -paths] * 1e-30, {"units": "1"}),
            "clock": ((), 0.01, {"units": "time", "long_name": "time per step"}),
        },
        coords={"path": paths, "component": ["x", "y"]},
        attrs={
            "schema_version": results.SCHEMA_VERSION,
            "creation_library": "sdesim 0.1.0",
            "created_at": "2020-01-01T00:00:00+00:00",
            "model": "double well",
            "parameters": json.dumps({"dt": 0.01}),
            "seed": seed,
            "start_path": start,
            "n_paths": n,
            "wall_time": 0.5,
            "command": f"sdesim run --start-path {start}",
        },
    )


@pytest.mark.parametrize("ending", [".zarr", ".nc"])
def test_saved_dataset_comes_back_identical(tmp_path: Path, ending: str) -> None:
    ds = ensemble()
    again = results.load(results.save(ds, tmp_path / f"run{ending}"))
    xr.testing.assert_identical(again, ds)
    for name in ds.variables:
        assert again[name].dtype.kind == ds[name].dtype.kind
    assert again["status"].attrs["flag_values"].dtype == np.int8


@pytest.mark.parametrize("ending", [".zarr", ".nc"])
def test_attributes_without_a_place_in_netcdf_are_json(tmp_path: Path, ending: str) -> None:
    ds = ensemble()
    ds.attrs["versions"] = {"numpy": "2.0"}
    ds.attrs["git_commit"] = None
    again = results.load(results.save(ds, tmp_path / f"run{ending}"))
    assert results.read_attribute(again, "versions") == {"numpy": "2.0"}
    assert again.attrs["git_commit"] == "null"
    assert results.read_attribute(again, "absent", 3) == 3


@pytest.mark.parametrize("ending", [".zarr", ".nc"])
def test_existing_output_is_refused_and_untouched(tmp_path: Path, ending: str) -> None:
    target = results.save(ensemble(), tmp_path / f"run{ending}")
    with pytest.raises(FileExistsError, match="exists"):
        results.save(ensemble(seed=8), target)
    assert results.load(target).attrs["seed"] == 7
    results.save(ensemble(seed=8), target, overwrite=True)
    assert results.load(target).attrs["seed"] == 8
    assert os.listdir(tmp_path) == [target.name]


def test_overwrite_spares_what_is_not_ours(tmp_path: Path) -> None:
    folder = tmp_path / "thesis.zarr"
    folder.mkdir()
    (folder / "chapter1.tex").write_text("precious")
    note = tmp_path / "note.nc"
    note.write_text("precious")
    for target in (folder, note):
        with pytest.raises(ValueError, match="not a result of sdesim"):
            results.save(ensemble(), target, overwrite=True)
    assert (folder / "chapter1.tex").read_text() == note.read_text() == "precious"


def test_foreign_netcdf_and_zarr_are_refused(tmp_path: Path) -> None:
    foreign = xr.Dataset({"a": ("x", [1.0])})
    foreign.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    foreign.to_zarr(tmp_path / "a.zarr", consolidated=False)
    for ending in results.ENDINGS:
        with pytest.raises(ValueError, match="not a result of sdesim"):
            results.load(tmp_path / f"a{ending}")
    with pytest.raises(FileNotFoundError, match="no such file"):
        results.load(tmp_path / "b.nc")
    with pytest.raises(ValueError, match=r"must be \.zarr or \.nc"):
        results.save(ensemble(), tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        results.save(ensemble(), tmp_path / "nowhere" / "a.nc")


@pytest.mark.parametrize("ending", [".zarr", ".nc"])
def test_newer_schema_is_refused(tmp_path: Path, ending: str) -> None:
    ds = ensemble()
    ds.attrs["schema_version"] = results.SCHEMA_VERSION + 1
    path = results.save(ds, tmp_path / f"a{ending}")
    with pytest.raises(ValueError, match="update sdesim"):
        results.load(path)


@pytest.mark.parametrize("ending", [".zarr", ".nc"])
def test_damaged_chunk_is_noticed(tmp_path: Path, ending: str) -> None:
    ds = ensemble(n=4000)
    path = results.save(ds, tmp_path / f"a{ending}")
    if ending == ".zarr":
        chunk = next(p for p in (path / "exit_time" / "c").rglob("*") if p.is_file())
        position = chunk.stat().st_size // 2
    else:
        import h5py

        chunk = path
        with h5py.File(path) as file:
            stored = file["exit_time"].id.get_chunk_info(0)
        position = stored.byte_offset + stored.size // 2
    raw = bytearray(chunk.read_bytes())
    raw[position] ^= 0xFF
    chunk.write_bytes(raw)
    with pytest.raises(ValueError, match="damaged"):
        results.load(path)


def test_failed_write_leaves_the_earlier_file_and_no_litter(tmp_path: Path) -> None:
    target = results.save(ensemble(), tmp_path / "run.zarr")

    def breaks(temporary: Path) -> None:
        temporary.mkdir()
        (temporary / "half").write_text("")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        results.replace(target, breaks)
    assert os.listdir(tmp_path) == ["run.zarr"]
    xr.testing.assert_identical(results.load(target), ensemble())


def test_pieces_join_to_the_whole_in_any_order() -> None:
    whole, first, second = ensemble(0, 50), ensemble(0, 20), ensemble(20, 30)
    joined = results.concat([second, first])
    xr.testing.assert_equal(joined, whole)
    assert joined.attrs["n_paths"] == 50
    assert joined.attrs["start_path"] == 0
    assert joined.attrs["wall_time"] == 1.0
    assert joined["status"].dtype == np.int8
    assert joined["exit_time"].attrs == whole["exit_time"].attrs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: ensemble(10, 5), "paths overlap.*start_path=20"),
        (lambda: ensemble(20, 5, seed=8), "seed is 7 in one and 8 in the other"),
        (lambda: ensemble(20, 5).drop_vars("exit_time"), "only one of them has exit_time"),
        (lambda: ensemble(20, 5).assign(clock=0.02), "clock differs"),
        (lambda: ensemble(20, 5).assign_coords(component=["u", "v"]), "component differ"),
        (lambda: ensemble(20, 5).assign_attrs(parameters="{}"), "parameters is"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        results.concat([ensemble(0, 20), change()])


def test_moments_of_joined_runs_are_those_of_one_run() -> None:
    def simulated(start: int, n: int) -> xr.Dataset:
        chain = EulerMaruyama(SDE("-x", 1.0, variables=["x"]), dt=0.1)
        return run(chain, 1.0, n, n_steps=20, observers=[Moments([0.5, 2.0])], seed=4, start_path=start)

    joined = results.concat([simulated(0, 30), simulated(30, 70)])
    xr.testing.assert_equal(joined, simulated(0, 100))


def test_nothing_to_join_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        results.concat([])


def test_description_says_how_to_make_it_again() -> None:
    text = results.describe(ensemble())
    assert "censored=10, exited=40" in text or "exited=40, censored=10" in text
    assert "dt=0.01" in text
    assert "sdesim run --start-path 0" in text
