"""The machine: cores in use, what it is, and how busy others keep it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import time
from dataclasses import dataclass
from pathlib import Path

THREADS = 2
PACKAGES = ("sdesim", "numpy", "scipy", "numba", "llvmlite", "xarray", "jax", "jaxlib", "torch", "torchsde")


def use_cores(n: int = THREADS) -> None:
    """Bind this process and its children to n cores; JAX, which has no other setting, then uses n threads."""
    os.environ["NUMBA_NUM_THREADS"] = str(n)
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ.setdefault("MPLBACKEND", "Agg")
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < n:
        raise SystemExit(f"the benchmarks need {n} cores, this process may use {len(allowed)}")
    os.sched_setaffinity(0, allowed[:n])


def describe() -> dict[str, str]:
    """CPU, cores, memory, system and versions."""
    cpu = _first_value("/proc/cpuinfo", "model name") or platform.processor()
    flags = (_first_value("/proc/cpuinfo", "flags") or "").split()
    memory = _first_value("/proc/meminfo", "MemTotal") or "unknown"
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "cpu": cpu,
        "vectors": "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "narrower than AVX2",
        "cores": f"{os.cpu_count()} there, {THREADS} used, {THREADS} threads",
        "memory": memory,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _first_value(path: str, key: str) -> str | None:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


@dataclass
class Load:
    """Share of the cores' time that other processes (and the hypervisor) took since the object was made."""

    began: float
    busy: float
    own: float

    @classmethod
    def start(cls) -> Load:
        """Begin to watch."""
        return cls(time.perf_counter(), _busy_seconds(), _own_seconds())

    def others(self) -> float:
        """Share of all cores taken by others since the start."""
        wall = (time.perf_counter() - self.began) * (os.cpu_count() or 1)
        return max(0.0, (_busy_seconds() - self.busy) - (_own_seconds() - self.own)) / max(wall, 1e-9)


def _busy_seconds() -> float:
    """Seconds that all cores together were not idle, since the start of the system."""
    words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    user, nice, system, _idle, _iowait, irq, softirq, steal = (int(w) for w in words)
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    """CPU seconds of this process and its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def wait_until_quiet(limit: float = 0.03, patience: float = 300.0) -> float:
    """Wait until others take less than `limit` of the cores; the share when the waiting ended."""
    end = time.perf_counter() + patience
    while True:
        load = Load.start()
        time.sleep(3.0)
        share = load.others()
        if share < limit or time.perf_counter() > end:
            return share
