"""Sums of doubles without rounding, in any order.

A double is an integer times a power of two. Its 53 bits are added, in pieces of 32, to the integers of a long
fixed-point number that spans every double; nothing is lost, so the sum over paths is the same for every order, split
and thread count (Kulisch's accumulator). Each integer has 31 spare bits: two thousand million additions before the
carries must be resolved.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numba import njit

from sdesim.core.elementary import I64, bits

LIMBS = 67  # 32 bits each: from 2**-1074 to 2**1024, with room for carries
LARGEST_MEAN = 1 << 1024  # no mean of doubles reaches it; one infinite value lifts the mean above it


@njit(error_model="numpy")
def add_exact(sums, j, c, p, value):
    """Add a double to the accumulator sums[j, c, p]; an infinite one makes it larger than any sum of doubles."""
    b = bits(value)
    e = (b >> I64(52)) & I64(0x7FF)
    if e == I64(0x7FF):
        sums[j, c, p, LIMBS - 1] += I64(1) << I64(24)
        return
    m = b & I64(0xFFFFFFFFFFFFF)
    if e > 0:
        m |= I64(1) << I64(52)
    else:
        e = I64(1)
    shift = e - I64(1)
    limb, offset = shift >> I64(5), shift & I64(31)
    low = (m & I64(0xFFFFFFFF)) << offset
    high = (m >> I64(32)) << offset
    sign = I64(-1) if b < 0 else I64(1)
    mask = I64(0xFFFFFFFF)
    sums[j, c, p, limb] += sign * (low & mask)
    sums[j, c, p, limb + 1] += sign * (((low >> I64(32)) & mask) + (high & mask))
    sums[j, c, p, limb + 2] += sign * ((high >> I64(32)) & mask)


def exact_value(limbs: np.ndarray) -> Fraction:
    """The sum held by one accumulator, shape (LIMBS,), as an exact fraction."""
    total = 0
    for limb in reversed(limbs.tolist()):
        total = (total << 32) + limb
    return Fraction(total, 1 << 1074)


def merge(sums: list[np.ndarray]) -> np.ndarray:
    """The sum of several accumulators, carries resolved so that it can be added to again."""
    total = np.array(np.stack(sums).sum(axis=0), dtype=np.int64)
    for limb in range(LIMBS - 1):
        carry = total[..., limb] >> 32
        total[..., limb] -= carry << 32
        total[..., limb + 1] += carry
    return total
