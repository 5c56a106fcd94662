"""Compiled kernels on disk: one self-contained file each, named by what it depends on, never rewritten."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from types import ModuleType


def cache_dir() -> Path:
    """Where kernels live: $SDESIM_CACHE_DIR, else the user's cache folder, else a temporary one."""
    given = os.environ.get("SDESIM_CACHE_DIR")
    base = Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sdesim"
    try:
        base.mkdir(parents=True, exist_ok=True)
        if os.access(base, os.W_OK):
            return base
    except OSError:
        pass
    fallback = Path(tempfile.gettempdir()) / f"sdesim-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    fallback.mkdir(parents=True, exist_ok=True)
    return fallback


@lru_cache(maxsize=1)
def _machine() -> str:
    """Versions and the CPU: compiled code is good for these alone."""
    import llvmlite.binding as llvm
    import numba

    from sdesim import __version__

    features = llvm.get_host_cpu_features().flatten()
    return "|".join([__version__, numba.__version__, sys.version, llvm.get_host_cpu_name(), features])


def kernel_name(text: str) -> str:
    """The name of the module with this text on this machine."""
    return "kernel_" + hashlib.sha256(f"{_machine()}\n{text}".encode()).hexdigest()[:24]


@lru_cache(maxsize=256)
def load_kernel(text: str) -> ModuleType:
    """The module with this text; compiled code of an earlier process is found next to its file."""
    name = kernel_name(text)
    folder = cache_dir()
    path = folder / f"{name}.py"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        _write(path, text)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot load the kernel file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _write(path: Path, text: str) -> None:
    """Create the file in one motion, so that another process sees all of it or none."""
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".part")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(partial, path)
