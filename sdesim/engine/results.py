"""Datasets on disk: status codes, saving, loading, joining, describing."""

from __future__ import annotations

import datetime
import enum
import itertools
import json
import os
import shutil
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

SCHEMA_VERSION = 1
LIBRARY = "sdesim"
ENDINGS = (".zarr", ".nc")
_APART = "these runs do not belong together"

# Attributes that two datasets of one ensemble may differ in; all others are its fingerprint.
PROVENANCE = frozenset(
    {
        "start_path",
        "n_paths",
        "threads",
        "versions",
        "git_commit",
        "wall_time",
        "created_at",
        "creation_library",
        "command",
        "engine",
        "device",
    }
)


class Status(enum.IntEnum):
    """What became of a path.

    `RUNNING` is the state of a path while it is simulated, `EXITED` left its region, `CENSORED` reached the
    end of the simulated time, `DIVERGED` became infinite or NaN, `INTERRUPTED` was stopped by the user or a
    time limit (and is censored there).
    """

    RUNNING = 0
    EXITED = 1
    CENSORED = 2
    DIVERGED = 3
    INTERRUPTED = 4

    @classmethod
    def attributes(cls) -> dict[str, Any]:
        """Attributes of a `status` variable in the CF convention: flag values (int8) and their meanings."""
        return {
            "long_name": "status of the path",
            "units": "1",
            "flag_values": np.array([s.value for s in cls], dtype=np.int8),
            "flag_meanings": " ".join(s.name.lower() for s in cls),
        }


def status_counts(ds: xr.Dataset) -> dict[str, int]:
    """Number of paths in each status that occurs, by its name."""
    codes = np.bincount(np.asarray(ds["status"]).ravel(), minlength=len(Status))
    return {s.name.lower(): int(codes[s]) for s in Status if codes[s]}


def read_attribute(ds: xr.Dataset, name: str, default: Any = None) -> Any:
    """An attribute of the dataset, decoded where it was stored as JSON; `default` where it is missing."""
    value = ds.attrs.get(name, default)
    if isinstance(value, str) and value[:1] in "[{":
        return json.loads(value)
    return value


def check_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """The path of a dataset to be written, or one clear error before any work is done.

    Raises
    ------
    ValueError
        If the ending is neither `.zarr` nor `.nc`, or the file to overwrite is not a result of sdesim.
    FileExistsError
        If the path exists and `overwrite` is false.
    FileNotFoundError
        If its folder does not exist.
    """
    target = Path(path)
    if target.suffix not in ENDINGS:
        raise ValueError(f"cannot save to {target}: the ending must be .zarr or .nc, got {target.suffix!r}")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot save to {target}: the folder {target.parent} does not exist")
    if target.exists():
        if not overwrite:
            raise FileExistsError(f"{target} exists: choose another name or ask to overwrite it")
        with _opened(target):
            pass
    return target


def save(ds: xr.Dataset, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a dataset to `path`, all of it or nothing.

    Chunks carry checksums; attributes that netCDF cannot hold are stored as JSON. The file appears under its
    name only when it is complete.

    Parameters
    ----------
    ds : Dataset
        A result of `run`, or what was made of it.
    path : path
        Ending in `.zarr` (a folder) or `.nc` (netCDF-4).
    overwrite : bool
        Replace an earlier result of sdesim; anything else at `path` is refused all the same.

    Returns
    -------
    Path
        Where it was written.

    Raises
    ------
    ValueError, FileExistsError, FileNotFoundError
        See `check_output`.
    """
    target = check_output(path, overwrite=overwrite)
    stored = _storable(ds)
    write = _write_zarr if target.suffix == ".zarr" else _write_netcdf
    replace(target, lambda temporary: write(stored, temporary))
    return target


def replace(target: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file or folder beside `target` and move it there once it is complete."""
    token = uuid.uuid4().hex[:8]
    temporary = target.with_name(f".{target.stem}-{token}{target.suffix}")
    try:
        write(temporary)
        if target.is_dir():
            retired = target.with_name(f".{target.stem}-{token}-old{target.suffix}")
            target.rename(retired)
            temporary.rename(target)
            shutil.rmtree(retired)
        else:
            temporary.replace(target)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def load(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a dataset written by `save` into memory.

    Raises
    ------
    ValueError
        If the file is not a result of sdesim, is damaged, or was written by a newer schema.
    FileNotFoundError
        If there is no such file.
    """
    source = Path(path)
    with _opened(source) as stored:
        try:
            ds = stored.load()
        except (OSError, RuntimeError, ValueError) as error:
            raise ValueError(f"{source} is damaged: {_first_line(error)}") from error
    ds.encoding = {}
    for name, variable in list(ds.variables.items()):
        variable.encoding = {}
        if variable.dtype.kind in "OT":
            ds[name] = (variable.dims, np.array(variable.values.tolist(), dtype=str), variable.attrs)
        if "flag_values" in variable.attrs:
            variable.attrs["flag_values"] = np.asarray(variable.attrs["flag_values"], dtype=variable.dtype)
    ds.attrs = {name: _plain(value) for name, value in ds.attrs.items()}
    return ds


def concat(datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join datasets of one ensemble along `path`.

    Parameters
    ----------
    datasets : sequence of Dataset
        Runs that differ only in which paths they hold (`start_path`, `n_paths`).

    Returns
    -------
    Dataset
        The paths of all of them, in the order of their numbers.

    Raises
    ------
    ValueError
        If there are none, they are not runs of the same thing, or two of them hold the same path.
    """
    if not datasets:
        raise ValueError("concat needs at least one dataset, got none")
    ordered = sorted(datasets, key=_start)
    for one, two in itertools.pairwise(ordered):
        _check_belong(one, two)
    if len(ordered) == 1:
        return ordered[0]
    joined = xr.concat(
        ordered,
        dim="path",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs="override",
    )
    if "moment_sums" in joined:
        joined = _with_moments_of_all(joined, ordered)
    joined.attrs = dict(ordered[0].attrs)
    joined.attrs["n_paths"] = int(sum(ds.sizes["path"] for ds in ordered))
    joined.attrs["wall_time"] = float(sum(float(ds.attrs.get("wall_time", 0.0)) for ds in ordered))
    joined.attrs["command"] = "\n".join(dict.fromkeys(str(ds.attrs.get("command", "")) for ds in ordered))
    return joined


def describe(ds: xr.Dataset) -> str:
    """What is in a dataset and how to make it again, as text of a few lines."""
    rows = [
        ("model", ds.attrs.get("model", "")),
        ("parameters", _pairs(read_attribute(ds, "parameters", {}))),
        ("paper", _paper_line(read_attribute(ds, "paper", {}))),
        ("size", ", ".join(f"{name} {size}" for name, size in ds.sizes.items())),
        ("status", _pairs(status_counts(ds)) if "status" in ds else ""),
        ("variables", ", ".join(sorted(map(str, ds.data_vars)))),
        ("seed", ds.attrs.get("seed", "")),
        ("engine", _engine_line(ds)),
        ("wall time", f"{float(ds.attrs['wall_time']):.3g} s" if "wall_time" in ds.attrs else ""),
        ("created", f"{ds.attrs.get('created_at', '')} by {ds.attrs.get('creation_library', '')}"),
        ("versions", _pairs(read_attribute(ds, "versions", {}))),
        ("git commit", ds.attrs.get("git_commit", "")),
        ("again", ds.attrs.get("command", "")),
    ]
    return "\n".join(f"{name:<11} {value}" for name, value in rows if str(value).strip())


def _engine_line(ds: xr.Dataset) -> str:
    parts = [str(ds.attrs[name]) for name in ("engine", "device", "dtype") if ds.attrs.get(name)]
    threads = ds.attrs.get("threads")
    return ", ".join(parts + ([f"{threads} threads"] if threads else []))


def _pairs(values: Any) -> str:
    return ", ".join(f"{k}={v}" for k, v in values.items()) if isinstance(values, dict) else str(values)


def _paper_line(paper: Any) -> str:
    if not isinstance(paper, dict):
        return str(paper)
    return ", ".join(str(paper[key]) for key in ("authors", "title", "year", "arxiv") if paper.get(key))


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _storable(ds: xr.Dataset) -> xr.Dataset:
    """The dataset with attributes that both formats hold, and the marks by which `load` knows it."""
    stored = ds.copy(deep=False)
    stored.attrs = {name: _storable_value(value) for name, value in ds.attrs.items()}
    stored.attrs.setdefault("schema_version", SCHEMA_VERSION)
    stored.attrs.setdefault("creation_library", LIBRARY)
    stored.attrs.setdefault("created_at", datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"))
    for name, variable in list(stored.variables.items()):
        variable.encoding = {}
        if variable.dtype.kind == "U":  # Zarr has a type for text of any length, none for a fixed one
            stored[name] = variable.astype(object)
    return stored


def _storable_value(value: Any) -> Any:
    value = _plain(value)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return json.dumps(value, default=str)


def _write_zarr(ds: xr.Dataset, path: Path) -> None:
    from zarr.codecs import Crc32cCodec, ZstdCodec

    packed = {"compressors": (ZstdCodec(level=3), Crc32cCodec())}
    encoding = {str(name): packed for name, v in ds.variables.items() if v.dtype.kind in "fiub" and v.ndim > 0}
    ds.to_zarr(path, mode="w-", zarr_format=3, consolidated=False, encoding=encoding)


def _write_netcdf(ds: xr.Dataset, path: Path) -> None:
    checked = {"zlib": True, "complevel": 1, "shuffle": True, "fletcher32": True}
    encoding = {
        str(name): checked for name, v in ds.variables.items() if v.dtype.kind in "fiub" and v.ndim > 0 and v.size > 0
    }
    ds.to_netcdf(path, engine="h5netcdf", encoding=encoding)


def _opened(path: Path) -> xr.Dataset:
    """The file, lazily, if it is a result of sdesim."""
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    if path.suffix not in ENDINGS:
        raise ValueError(f"{path} is not a result of sdesim: those end in .zarr or .nc")
    try:
        if path.suffix == ".zarr":
            ds = xr.open_zarr(path, consolidated=False, chunks=None)
        else:
            ds = xr.open_dataset(path, engine="h5netcdf")
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ValueError(f"{path} is not a result of sdesim: {_first_line(error)}") from error
    if not str(ds.attrs.get("creation_library", "")).startswith(LIBRARY):
        ds.close()
        raise ValueError(f"{path} is not a result of sdesim: it names no creation_library of ours")
    if int(ds.attrs.get("schema_version", 0)) > SCHEMA_VERSION:
        ds.close()
        raise ValueError(
            f"{path} has schema version {ds.attrs['schema_version']}, this sdesim reads up to "
            f"{SCHEMA_VERSION}: update sdesim"
        )
    return ds


def _start(ds: xr.Dataset) -> int:
    if "path" not in ds.sizes:
        raise ValueError("concat joins datasets along path, and one of them has no dimension path")
    if "path" in ds.coords:
        return int(ds["path"].min())
    return int(ds.attrs.get("start_path", 0))


def _check_belong(one: xr.Dataset, two: xr.Dataset) -> None:
    for name in sorted((set(one.attrs) | set(two.attrs)) - PROVENANCE):
        a, b = one.attrs.get(name), two.attrs.get(name)
        if a != b:
            raise ValueError(f"{_APART}: {name} is {a!r} in one and {b!r} in the other")
    if set(one.variables) != set(two.variables):
        differing = ", ".join(sorted(str(v) for v in set(one.variables) ^ set(two.variables)))
        raise ValueError(f"{_APART}: only one of them has {differing}")
    for name, variable in one.variables.items():
        shared = "path" not in variable.dims and name not in one.sizes and not str(name).startswith("moment_")
        if shared and not variable.equals(two.variables[name]):
            raise ValueError(f"{_APART}: {name} differs")
    for name in set(one.sizes) - {"path"}:
        if one.sizes[name] != two.sizes[name] or not one[name].equals(two[name]):
            raise ValueError(f"{_APART}: their {name} differ")
    end = _start(one) + one.sizes["path"]
    if end > _start(two):
        raise ValueError(
            f"paths overlap: one run ends before path {end} and the other starts at {_start(two)}; "
            f"write start_path={end} to append"
        )


def _with_moments_of_all(joined: xr.Dataset, pieces: Sequence[xr.Dataset]) -> xr.Dataset:
    """Moments over the paths of all pieces, from their exact sums of powers."""
    from sdesim.core.exactsum import merge
    from sdesim.engine.dataset import MOMENT_NAMES, moment_values

    counts = np.sum([piece["moment_count"].values for piece in pieces], axis=0)
    sums = merge([piece["moment_sums"].values for piece in pieces])
    values = moment_values(sums, counts, float(joined["moment_sums"].attrs["about"]))
    new = {"moment_count": counts, "moment_sums": sums}
    new |= {f"moment_{name}": values[..., p] for p, name in enumerate(MOMENT_NAMES)}
    return joined.assign(
        {name: joined[name].copy(data=array.reshape(joined[name].shape)) for name, array in new.items()}
    )
