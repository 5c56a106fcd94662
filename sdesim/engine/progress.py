"""A progress line: paths finished, path-steps per second, paths alive."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sdesim.engine.native import Progress


@contextmanager
def progress_bar(total: int, memory: int, shown: bool, unit: str = "paths") -> Iterator[Callable[[Progress], None]]:
    """A function to be told of progress; it draws a line on standard error if `shown`."""
    if not shown:
        yield lambda _: None
        return
    from tqdm import tqdm

    began = time.perf_counter()
    with tqdm(total=total, unit=f" {unit}", desc=f"{memory / 2**20:.0f} MiB", leave=False, mininterval=0.2) as bar:

        def report(progress: Progress) -> None:
            rate = progress.path_steps / max(time.perf_counter() - began, 1e-9)
            bar.n = progress.finished
            bar.set_postfix_str(f"{rate:.2e} path-steps/s, {total - progress.finished} alive", refresh=False)
            bar.update(0)

        yield report
