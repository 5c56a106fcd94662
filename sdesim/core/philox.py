"""Philox4x32-10: random words keyed by (seed, path, channel, block), with no state and no order.

Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3". One block is four 32-bit words.
The layout is fixed, so that a result never depends on batches, threads or resuming:

    key     = seed (64 bit)
    counter = (block low 32, channel << 16 | block high 16, path low 32, path high 32)

`path` carries the cell of a parameter grid in its upper bits, see `path_id`. The block's halves are two 64-bit words.
One word makes a uniform on (0, 1), (n + 1/2) / 2**52 with n of 52 bits: symmetric about 1/2 without rounding, never 0
or 1, smallest value 2**-53; or it makes two normals.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

START, NOISE, MINIBATCH, BRIDGE, CROSSING, SELECTION = range(6)
SECOND = 8  # added to a channel: the same for a second batch

MULTIPLIER_0, MULTIPLIER_1 = 0xD2511F53, 0xCD9E8D57
WEYL_0, WEYL_1 = 0x9E3779B9, 0xBB67AE85
MASK = 0xFFFFFFFF
PATH_BITS = 40


def philox4x32(key: tuple[int, int], counter: tuple[Any, Any, Any, Any]) -> tuple[np.ndarray, ...]:
    """Four output words for a key of two words and a counter of four words or arrays of words."""
    k0, k1 = (np.uint64(int(k) & MASK) for k in key)
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(c, dtype=np.uint64) for c in counter))
    low, half = np.uint64(MASK), np.uint64(32)
    for _ in range(10):
        p0, p1 = np.uint64(MULTIPLIER_0) * c0, np.uint64(MULTIPLIER_1) * c2
        c0, c1, c2, c3 = (p1 >> half) ^ c1 ^ k0, p1 & low, (p0 >> half) ^ c3 ^ k1, p0 & low
        k0, k1 = np.uint64((int(k0) + WEYL_0) & MASK), np.uint64((int(k1) + WEYL_1) & MASK)
    return c0, c1, c2, c3


def path_id(cell: Any, path: Any) -> Any:
    """The 64-bit name of path `path` in cell `cell` of a parameter grid; cell 0 is a run without a grid."""
    return (np.asarray(cell, dtype=np.int64) << np.int64(PATH_BITS)) | np.asarray(path, dtype=np.int64)


def words(seed: int, path: Any, channel: int, block: Any) -> tuple[np.ndarray, np.ndarray]:
    """The two 64-bit words of one block, for arrays of path ids and block numbers."""
    path, block = np.asarray(path).astype(np.uint64), np.asarray(block).astype(np.uint64)
    low, half = np.uint64(MASK), np.uint64(32)
    lane = np.uint64(channel << 16) | (block >> half)
    w = philox4x32((seed & MASK, seed >> 32), (block & low, lane, path & low, path >> half))
    return (w[0] << half) | w[1], (w[2] << half) | w[3]


def uniform(word: Any) -> np.ndarray:
    """The uniform (n + 1/2) / 2**52 on (0, 1) of a word, n its upper 52 bits."""
    return ((word >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normal_pair(word: Any) -> tuple[np.ndarray, np.ndarray]:
    """Two standard normals of a word, cut as in `sdesim.core.normals`: sign, 40 bits radius, choice, 22 bits angle."""
    sign, n = word >> np.uint64(63), (word >> np.uint64(23)) & np.uint64((1 << 40) - 1)
    choice, m = (word >> np.uint64(22)) & np.uint64(1), word & np.uint64((1 << 22) - 1)
    radius = np.where(sign, -1.0, 1.0) * np.sqrt(-2 * np.log((n.astype(np.float64) + 0.5) * 2.0**-40))
    angle = math.pi / 2 * ((m.astype(np.float64) + 0.5) * 2.0**-22 - 0.5)
    s, c = np.sin(angle), np.cos(angle)
    return radius * np.where(choice, s, c), radius * np.where(choice, c, s)
