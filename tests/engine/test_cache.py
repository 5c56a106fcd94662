"""Kernels on disk: one file for each text, found again by other processes, never rewritten, never mistaken."""

import os
import subprocess
import sys
import textwrap

import pytest

import sdesim as sd
from sdesim.core import elementary
from sdesim.engine import cache, source
from sdesim.engine.run import _traced
from sdesim.engine.trace import watch
from tests.engine.named import WELL, euler, linear, sgd, well

TOY = "from numba import njit\n\n@njit(cache=True)\ndef advance(x):\n    return x + {}\n"


def text_of(dynamics, observers=(), varied=()):
    seen = watch(observers)
    program = _traced(dynamics, seen)
    return source.kernel_source(program, program.varied(set(varied)), seen.record is not None, seen.moments is not None)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SDESIM_CACHE_DIR", str(tmp_path))
    cache.load_kernel.cache_clear()
    yield tmp_path
    cache.load_kernel.cache_clear()


def stamps(folder):
    return {
        p.name: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file() and p.suffix in (".py", ".nbi", ".nbc")
    }


def test_two_texts_are_two_files_that_compute_their_own(folder):
    one, two = (cache.load_kernel(TOY.format(n)).advance for n in (1, 2))
    assert (one(10), two(10)) == (11, 12)
    assert len(list(folder.glob("kernel_*.py"))) == 2


def test_another_process_finds_the_compiled_code_and_writes_nothing(folder):
    assert cache.load_kernel(TOY.format(1)).advance(1) == 2
    before = stamps(folder)
    assert any(name.endswith(".nbc") for name in before)
    script = f"""
        from sdesim.engine.cache import load_kernel
        kernel = load_kernel({TOY.format(1)!r}).advance
        assert kernel(5) == 6
        assert sum(kernel.stats.cache_hits.values()) == 1 and not kernel.stats.cache_misses
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, env={**os.environ})
    assert stamps(folder) == before


def test_loading_again_in_this_process_writes_nothing(folder):
    cache.load_kernel(TOY.format(3)).advance(0)
    before = stamps(folder)
    cache.load_kernel.cache_clear()
    assert cache.load_kernel(TOY.format(3)).advance(0) == 3
    assert stamps(folder) == before


def test_a_damaged_file_is_replaced(folder):
    path = folder / f"{cache.kernel_name(TOY.format(4))}.py"
    path.write_text("advance = None\n")
    assert cache.load_kernel(TOY.format(4)).advance(0) == 4


def test_a_folder_that_cannot_be_written_gives_way_to_a_temporary_one(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SDESIM_CACHE_DIR", str(tmp_path / "file" / "below"))
    assert cache.cache_dir().is_dir()


def test_another_version_of_numba_or_another_processor_has_files_of_its_own(monkeypatch):
    name = cache.kernel_name("text")
    monkeypatch.setattr(cache, "_machine", lambda: "another machine")
    assert cache.kernel_name("text") != name


def test_an_edited_helper_is_another_kernel(monkeypatch):
    text = text_of(linear())
    original = source.inspect.getsource

    def edited(module):
        return original(module) + ("\n# edited\n" if module is elementary else "")

    monkeypatch.setattr(source.inspect, "getsource", edited)
    assert cache.kernel_name(text_of(linear())) != cache.kernel_name(text)
    monkeypatch.undo()
    assert text_of(linear()) == text


def test_what_changes_the_computation_changes_the_text():
    texts = [
        text_of(linear()),
        text_of(euler("-k*x**3", 0.6, params={"k": 1.0})),
        text_of(linear(noise=sd.Stable(1.5))),
        text_of(linear(), [sd.FirstExit(sd.Interval(-1, 1))]),
        text_of(linear(), [sd.FirstExit(sd.Interval(-1, 1), None)]),
        text_of(linear(), [sd.Record([1.0])]),
        text_of(linear(), [sd.Moments([1.0])]),
        text_of(well(), [sd.Passages(WELL)]),
        text_of(sd.Truncated(linear(), 0.1)),
        text_of(sd.Projected(linear(), sd.Interval(-1, 1))),
        text_of(linear(), varied=["dt"]),
        text_of(linear(), varied=["sde.k"]),
        text_of(sgd(sd.Gaussian())),
        text_of(sd.EulerMaruyama(linear().sde, 0.1, 2)),
    ]
    assert len(set(texts)) == len(texts)


def test_values_of_parameters_times_and_ends_do_not_change_the_text():
    same = {
        text_of(linear(k, s, dt), [sd.FirstExit(sd.Interval(low, high)), sd.Record(times)])
        for k, s, dt, low, high, times in (
            (1.0, 0.6, 0.02, -1.0, 1.0, [1.0]),
            (2.0, 0.1, 0.5, -9.0, float("inf"), [0.0, 3.0, 4.0]),
        )
    }
    assert len(same) == 1
    assert len({text_of(linear(noise=sd.Stable(a, scale=s))) for a, s in ((0.5, 1.0), (1.9, 0.2), (2.0, 3.0))}) == 1


def test_a_new_value_of_a_parameter_compiles_nothing():
    for value in (0.5, 0.9, 1.3):
        sd.run(linear(value, dt=0.01 * value), value, 5, n_steps=7, seed=3, observers=[sd.Record([0]), sd.Moments([0])])
    text = text_of(linear(), [sd.Record([0]), sd.Moments([0])])
    kernel = cache.load_kernel(text).advance
    assert len(kernel.signatures) == 1
    grids = ({"k": [1.0, 2.0]}, {"k": [3.0, 4.0, 5.0]})
    for grid in grids:
        sd.run(linear(), 1.0, 5, n_steps=7, vary=grid)
    assert len(cache.load_kernel(text_of(linear(), varied=["sde.k"])).advance.signatures) == 1


def test_starts_of_every_kind_use_one_compiled_signature():
    observers = [sd.Record([0]), sd.Moments([0])]
    for x0 in (1.0, [0.1, 0.2, 0.3], sd.Gaussian(0.1)):
        sd.run(linear(), x0, 3, n_steps=5, observers=observers)
    assert len(cache.load_kernel(text_of(linear(), observers)).advance.signatures) == 1
