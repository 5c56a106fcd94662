"""Two standard normals from one 64-bit word: Box and Muller 1958, without a division of the angle into octants.

The word is cut into a sign (1 bit), a radius uniform u of 40 bits, a choice of axis (1 bit) and an angle of 22 bits:

    radius = sign sqrt(-2 log u),  u = (n + 1/2) / 2**40
    angle  = (pi/2) t,             t = (m + 1/2) / 2**22 - 1/2

and the normals are radius (cos, sin) of the angle, or (sin, cos) where the choice says so. The angle covers a quarter
of the circle, sign and choice the other three, so the polynomials need no reduction. The largest normal is 7.54,
exceeded by a true one with probability 5e-14; the angle grid changes no moment below the order 2**24.

The text of this module is copied into every generated kernel, below `elementary`, whose names it uses. The
polynomials are Chebyshev fits; a normal lies within 4 ulp of the exact function of its word.
"""

import numpy as np

from sdesim.core.elementary import I64, U64, bits, from_bits, lane, split_log

MINUS_TWO_LN2 = -1.3862943611198906
HIGH_BIT = U64(0x8000000000000000)
RADIUS_BITS, RADIUS_ONE = U64(0x000FFFFFFFFFF000), U64(0x3FF0000000000800)
ANGLE_BITS, ANGLE_ONE = U64(0x000FFFFFC0000000), U64(0x3FF0000020000000)
CHOICE_BIT = U64(0x400000)


@lane
def normal_radius(w):
    """sign sqrt(-2 log u) of a word; log(1 + f) is a series in s = f/(2 + f)."""
    u = from_bits(I64(((w >> U64(11)) & RADIUS_BITS) | RADIUS_ONE)) - 1.0
    f, e = split_log(u)
    s = f / (2.0 + f)
    z = s * s
    z2 = z * z
    low = -1.333333333333334 - z * 0.7999999999979901
    middle = -0.5714285725195102 - z * 0.4444442226958451
    high = -0.3636577825084343 - z * 0.3066344319241064
    p = low + z2 * (middle + z2 * (high - z2 * 0.29232899461085254))
    r = np.sqrt(s * (z * p - 4.0) + e * MINUS_TWO_LN2)
    return from_bits(bits(r) ^ I64(w & HIGH_BIT))


@lane
def normal_pair(w):
    """Two independent standard normals."""
    r = normal_radius(w)
    t = from_bits(I64(((w << U64(30)) & ANGLE_BITS) | ANGLE_ONE)) - 1.5
    z = t * t
    z2 = z * z
    s_low = 1.5707963267948966 - z * 0.6459640975062443
    s_middle = 0.07969262624604301 - z * 0.004681754132340976
    s_high = 0.0001604411507421909 - z * 3.59864335298231e-06
    sine = t * (s_low + z2 * (s_middle + z2 * (s_high + z2 * 5.633933781537854e-08)))
    c_low = 1.0 - z * 1.2337005501361513
    c_middle = 0.25366950789986475 - z * 0.02086348073494657
    c_high = 0.000919259950041661 - z * 2.520013526428479e-05
    cosine = c_low + z2 * (c_middle + z2 * (c_high + z2 * 4.6552961874867623e-07))
    turned = (w & CHOICE_BIT) != U64(0)
    return r * (sine if turned else cosine), r * (cosine if turned else sine)


@lane
def normal_first(w):
    """The first normal of a word."""
    return normal_pair(U64(w))[0]


@lane
def normal_second(w):
    """The second normal of a word."""
    return normal_pair(U64(w))[1]
