"""Sine, cosine and tangent as branch-free polynomials over lanes, at most 2 ulp from the true value.

Like `elementary`, whose names it uses, the text of this module is copied into every generated kernel.
"""

import math

from sdesim.core.elementary import I64, bits, exact, from_bits, lane, nearest, two_product

PIO2_1, PIO2_2, PIO2_3 = 1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33
LARGEST_ANGLE = 1.0e9  # beyond it the phase of a double is not worth resolving: sin, cos, tan give NaN


@lane
def sin_kernel(r, low):
    """sin(r + low) for |r| <= pi/4."""
    z = r * r
    p = 1.58969099521155010221e-10
    p = p * z - 2.50507602534068634195e-08
    p = p * z + 2.75573137070700676789e-06
    p = p * z - 1.98412698298579493134e-04
    p = p * z + 8.33333333332248946124e-03
    return r - ((z * (0.5 * low - (z * r) * p) - low) + (z * r) * 1.66666666666666324348e-01)


@lane
def cos_kernel(r, low):
    """cos(r + low) for |r| <= pi/4."""
    z = r * r
    p = -1.13596475577881948265e-11
    p = p * z + 2.08757232129817482790e-09
    p = p * z - 2.75573143513906633035e-07
    p = p * z + 2.48015872894767294178e-05
    p = p * z - 1.38888888888741095749e-03
    p = p * z + 4.16666666666666019037e-02
    half = 0.5 * z
    w = 1.0 - half
    return w + (((1.0 - w) - half) + (z * z * p - r * low))


@lane
def quadrant(s, c, k):
    """sin and cos of an angle that lies k quarter turns after the one with sin s and cos c."""
    odd = (k & I64(1)) != 0
    sine = c if odd else s
    cosine = s if odd else c
    flip = (k & I64(2)) << I64(62)
    flip_cos = ((k + I64(1)) & I64(2)) << I64(62)
    return from_bits(bits(sine) ^ flip), from_bits(bits(cosine) ^ flip_cos)


@lane
def sincos_turn(t):
    """sin and cos of 2 pi t, for |t| < 2**49."""
    a = 4.0 * t
    q, k = nearest(a)
    r = (a - q) * PIO2_1
    z = r * r
    z2 = z * z
    p = (8.33333333332248946124e-03 - z * 1.98412698298579493134e-04) + z2 * (
        (2.75573137070700676789e-06 - z * 2.50507602534068634195e-08) + z2 * 1.58969099521155010221e-10
    )
    p = z * p - 1.66666666666666324348e-01
    c = (4.16666666666666019037e-02 - z * 1.38888888888741095749e-03) + z2 * (
        (2.48015872894767294178e-05 - z * 2.75573143513906633035e-07)
        + z2 * (2.08757232129817482790e-09 - z * 1.13596475577881948265e-11)
    )
    c = z * c - 0.5
    return quadrant(r + (r * z) * p, 1.0 + z * c, k)


@exact
def reduce_angle(x):
    """x = k pi/2 + r + low."""
    q, k = nearest(x * 0.6366197723675814)
    p, p_low = two_product(q, PIO2_1)
    m, m_low = two_product(q, PIO2_2)
    a = x - p
    b = a - p_low
    b_low = (a - b) - p_low
    r = b - m
    r_low = (b - r) - m
    low = b_low + (r_low - (m_low + q * PIO2_3))
    total = r + low
    return total, low - (total - r), k


@lane
def sincos(x):
    """sin and cos of x, for |x| <= LARGEST_ANGLE."""
    r, low, k = reduce_angle(x)
    s, c = quadrant(sin_kernel(r, low), cos_kernel(r, low), k)
    good = abs(x) <= LARGEST_ANGLE
    return (s if good else math.nan), (c if good else math.nan)


@lane
def lane_sin(x):
    """sin(x)."""
    return sincos(x)[0]


@lane
def lane_cos(x):
    """cos(x)."""
    return sincos(x)[1]


@lane
def lane_tan(x):
    """tan(x)."""
    s, c = sincos(x)
    return s / c


@lane
def lane_sin_quarter(t):
    """sin(2 pi t) for |t| <= 1/4, by its series in pairs of terms."""
    x = 6.283185307179586 * t
    z = x * x
    z2 = z * z
    z4 = z2 * z2
    a = 0.008333333333333333 - z * 0.0001984126984126984
    b = 2.7557319223985893e-06 - z * 2.505210838544172e-08
    c = 1.6059043836821613e-10 - z * 7.647163731819816e-13
    d = 2.8114572543455206e-15 - z * 8.22063524662433e-18
    rest = (a + z2 * b) + z4 * ((c + z2 * d) + z4 * 1.9572941063391263e-20)
    return x + (x * z) * (z * rest - 0.16666666666666666)


@lane
def lane_sin_turn(t):
    """sin(2 pi t)."""
    return sincos_turn(t)[0]


@lane
def lane_cos_turn(t):
    """cos(2 pi t)."""
    return sincos_turn(t)[1]
