"""Elementary functions as branch-free polynomials over lanes, at most 2 ulp from the true value.

Compiled loops have no vector libm to call, and one scalar call per lane would cost more than the whole step.
Each function here is straight-line code that LLVM turns into vector instructions. The text of this module is
copied into every generated kernel, so it imports nothing of sdesim. Only contraction to fused multiply-add is
allowed: the compensated sums below die under reassociation. NaN in, NaN out.
"""

import math

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

I64, U64, F64 = np.int64, np.uint64, np.float64

LN2_HI, LN2_LO = 6.93147180369123816490e-01, 1.90821492927058770002e-10
LN2_TOP, LN2_REST = 0.6931471805599453, 2.3190468138462996e-17
SMALLEST_EXP = -708.0
ROUND = 6755399441055744.0  # 1.5 * 2**52: adding and subtracting it rounds to the nearest integer


@intrinsic
def bits(typingctx, x):
    """The 64 bits of a double, as an integer."""

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), codegen


@intrinsic
def from_bits(typingctx, n):
    """The double with the given 64 bits."""

    def codegen(context, builder, sig, args):
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """a * b + c rounded once."""

    def codegen(context, builder, sig, args):
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), codegen


lane = njit(error_model="numpy", fastmath={"contract"}, forceinline=True)
exact = njit(error_model="numpy", fastmath=False, forceinline=True)


@lane
def power_of_two(k):
    """2.0**k for an integer -1022 <= k <= 1023."""
    return from_bits((k + I64(1023)) << I64(52))


@exact
def nearest(x):
    """Nearest integer as (double, int64), for |x| < 2**51."""
    t = x + ROUND
    return t - ROUND, bits(t) - I64(0x4338000000000000)


@lane
def exp_minus_one_poly(r):
    """exp(r) - 1 for |r| <= 0.35, a Chebyshev fit; terms in pairs, so that few wait for one another."""
    r2 = r * r
    r4 = r2 * r2
    a = 0.5 + r * 0.1666666666666667
    b = 0.04166666666666667 + r * 0.008333333333326136
    c = 0.0013888888888883748 + r * 0.00019841269874820627
    d = 2.4801587325547743e-05 + r * 2.7557255400206422e-06
    e = 2.75572736431103e-07 + r * 2.5105217004720745e-08
    low, middle, high = a + r2 * b, c + r2 * d, e + r2 * 2.0914686968086876e-09
    return r + r2 * (low + r4 * (middle + r4 * high))


@lane
def exp_range(x):
    """x between the arguments where exp is the smallest normal number and where it is infinite; NaN stays."""
    floor = SMALLEST_EXP if x < SMALLEST_EXP else x
    return 710.0 if floor > 710.0 else floor


@lane
def exp_reduced(y):
    """y = k log 2 + r with |r| <= 0.35, as (r, k)."""
    q, k = nearest(y * 1.4426950408889634)
    return fma(-q, LN2_LO, fma(-q, LN2_HI, y)), k


@lane
def exp_scaled(r, k):
    """2**k exp(r); the factor 2 reaches the largest doubles, which 2**1024 alone would not."""
    return (2.0 + 2.0 * exp_minus_one_poly(r)) * power_of_two(k - I64(1))


@lane
def lane_exp2(x, low):
    """exp(x + low) with |low| far below |x|; 0 where it is below the normal numbers."""
    r, k = exp_reduced(exp_range(x))
    return 0.0 if x < SMALLEST_EXP else exp_scaled(r + low, k)


@lane
def lane_exp(x):
    """exp(x); 0 where it is below the normal numbers."""
    r, k = exp_reduced(exp_range(x))
    return 0.0 if x < SMALLEST_EXP else exp_scaled(r, k)


@lane
def lane_expm1(x):
    """exp(x) - 1 for x <= 40."""
    y = -60.0 if x < -60.0 else x
    q, k = nearest(y * 1.4426950408889634)
    r = fma(-q, LN2_LO, fma(-q, LN2_HI, y))
    scale = power_of_two(k)
    return fma(scale, exp_minus_one_poly(r), scale - 1.0)


@lane
def split_log(x):
    """x = 2**e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), for a normal positive x."""
    b = bits(x)
    e = (b - I64(0x3FE6A09E667F3BCD)) >> I64(52)
    return from_bits(b - (e << I64(52))) - 1.0, F64(e)


@lane
def log_reduced(f):
    """log(1 + f) for sqrt(1/2) <= 1 + f < sqrt(2): f - s (f - R) with s = f/(2 + f), R even in s."""
    s = f / (2.0 + f)
    z = s * s
    z2 = z * z
    low = 0.666666666666667 + z * 0.39999999999899505
    middle = 0.2857142862597551 + z * 0.22222211134792255
    high = 0.18182889125421714 + z * 0.1533172159620532
    p = low + z2 * (middle + z2 * (high + z2 * 0.14616449730542627))
    return f - s * (f - z * p)


@lane
def log_unit(x):
    """log(x) for a normal positive x."""
    f, e = split_log(x)
    return e * LN2_TOP + log_reduced(f)


@lane
def lane_log(x):
    """log(x): -inf at 0, NaN below."""
    tiny = x < 2.2250738585072014e-308
    y = log_unit(x * 18014398509481984.0 if tiny else x) - (37.42994775023705 if tiny else 0.0)
    y = y if x > 0.0 else (-math.inf if x == 0.0 else math.nan)
    return y if x < math.inf else x


@exact
def two_product(a, b):
    """a * b as a rounded value and its exact error."""
    p = a * b
    return p, fma(a, b, -p)


@exact
def fast_sum(a, b):
    """a + b as a rounded value and its exact error, for |a| >= |b|."""
    s = a + b
    return s, b - (s - a)


@exact
def log_double(x, halvings):
    """log(x / 2**halvings) of a normal positive x as a sum of two doubles, relative error about 2**-66."""
    f, e = split_log(x)
    e = e - halvings
    d = 2.0 + f
    d_low = f - (d - 2.0)
    inverse = 1.0 / d
    s = f * inverse
    s_low = (fma(-s, d, f) - s * d_low) * inverse
    z, z_low = two_product(s, s)
    z_low = z_low + 2.0 * s * s_low
    z2 = z * z  # 2 atanh(s) = 2 s + 2/3 s**3 + 2/5 s**5 + ...
    z4 = z2 * z2
    p0 = fma(0.2857142857142857, z, 0.4)
    p1 = fma(0.18181818181818182, z, 0.2222222222222222)
    p2 = fma(0.13333333333333333, z, 0.15384615384615385)
    p3 = fma(0.10526315789473684, z, 0.11764705882352941)
    p = fma(fma(fma(0.09523809523809523, z2, p3), z2, p2), z4, fma(p1, z2, p0))
    tail, tail_low = fast_sum(0.6666666666666666, fma(p, z, 3.700743415417188e-17))
    c, c_low = two_product(tail, z)
    c_low = c_low + (tail * z_low + tail_low * z)
    t, t_low = two_product(c, s)
    t_low = t_low + (c * s_low + c_low * s)
    a, a_low = fast_sum(2.0 * s, t)
    a_low = a_low + (t_low + 2.0 * s_low)
    h, h_low = two_product(e, LN2_TOP)
    total = h + a
    back = total - h
    low = (h - (total - back)) + (a - back)
    return fast_sum(total, low + (h_low + a_low + e * LN2_REST))


@exact
def lane_pow_fraction(a, y):
    """a**y for a >= 0 and 0 < |y| <= 0.9: no error of the logarithm is magnified, no result out of range."""
    tiny = a < 2.2250738585072014e-308
    f, e = split_log(a * 18014398509481984.0 if tiny else a)
    e = e - (54.0 if tiny else 0.0)
    hi, low = fast_sum(e * LN2_HI, log_reduced(f))
    p, p_low = two_product(hi, y)
    r, k = exp_reduced(p)
    r = exp_scaled(r + fma(low + e * LN2_LO, y, p_low), k)
    r = r if a > 0.0 else (math.inf if y < 0.0 else 0.0)
    r = r if a < math.inf else (math.inf if y > 0.0 else 0.0)
    return r if a == a else a


@exact
def lane_pow_positive(a, y):
    """a**y for a >= 0; NaN wherever an argument is NaN; 0**0 = 1."""
    tiny = a < 2.2250738585072014e-308
    hi, low = log_double(a * 18014398509481984.0 if tiny else a, 54.0 if tiny else 0.0)
    y_cut = y if abs(y) < 1e18 else math.copysign(1e18, y)
    p, p_low = two_product(hi, y_cut)
    p_low = fma(low, y_cut, p_low)
    p_low = p_low if abs(p) < 800.0 else 0.0
    r = lane_exp2(p, p_low)
    r = r if a > 0.0 else (math.inf if y < 0.0 else 0.0)
    r = r if a < math.inf else (math.inf if y > 0.0 else 0.0)
    r = 1.0 if y == 0.0 else r
    return r if a == a and y == y else a + y


@exact
def lane_pow(x, y):
    """x**y: NaN for a negative x unless y is an integer, and wherever an argument is NaN; 0**0 = 1."""
    r = lane_pow_positive(abs(x), y)
    whole = np.floor(y) == y
    odd = np.floor(y * 0.5) * 2.0 != y
    signed = (-r if odd else r) if whole else math.nan
    return signed if x < 0.0 else r


@lane
def sinh_series(z):
    """(sinh(x)/x - 1) / z with z = x * x <= 1."""
    p = 2.811457254345521e-15 + z * 8.22063524662433e-18
    p = 7.647163731819816e-13 + z * p
    p = 1.6059043836821613e-10 + z * p
    p = 2.505210838544172e-08 + z * p
    p = 2.7557319223985893e-06 + z * p
    p = 0.0001984126984126984 + z * p
    p = 0.008333333333333333 + z * p
    return 0.16666666666666666 + z * p


@lane
def lane_tanh(x):
    """tanh(x), by the series of sinh and cosh where |x| < 1/2, else 1 - 2 / (exp(2|x|) + 1)."""
    a = abs(x)
    z = a * a
    c = 1.1470745597729725e-11 + z * 4.779477332387385e-14
    c = 2.08767569878681e-09 + z * c
    c = 2.755731922398589e-07 + z * c
    c = 2.48015873015873e-05 + z * c
    c = 0.001388888888888889 + z * c
    c = 0.041666666666666664 + z * c
    small = (a + a * z * sinh_series(z)) / (1.0 + z * (0.5 + z * c))
    large = 1.0 - 2.0 / (lane_exp(2.0 * a) + 1.0)
    y = small if a < 0.5 else large
    return math.copysign(y, x) if x == x else x


@exact
def half_exp(a):
    """exp(a) / 2 for a >= 0, without rounding a - log 2."""
    y = 720.0 if a > 720.0 else a
    t = y - LN2_TOP
    return lane_exp2(t, ((y - t) - LN2_TOP) - LN2_REST)


@lane
def lane_sinh(x):
    """sinh(x), by its series where |x| < 1."""
    a = abs(x)
    z = x * x
    e = half_exp(a)
    large = e - 0.25 / e
    return (x + x * z * sinh_series(z)) if a < 1.0 else math.copysign(large, x) if x == x else x


@lane
def lane_cosh(x):
    """cosh(x)."""
    e = half_exp(abs(x))
    return e + 0.25 / e


@lane
def square(x):
    """x * x."""
    return x * x


@lane
def lane_sqrt(x):
    """sqrt(x), NaN below 0."""
    return np.sqrt(x)


@lane
def lane_abs(x):
    """|x|."""
    return abs(x)


@lane
def lane_sign(x):
    """-1, 0 or 1; NaN stays."""
    return (1.0 if x > 0.0 else (-1.0 if x < 0.0 else 0.0)) if x == x else x


@lane
def lane_copysign(x, y):
    """|x| with the sign of y."""
    return math.copysign(x, y)


@lane
def lane_min(a, b):
    """The smaller of a and b, NaN if either is."""
    low = a if a < b else b
    return low if a == a else a


@lane
def lane_max(a, b):
    """The larger of a and b, NaN if either is."""
    high = a if a > b else b
    return high if a == a else a


@lane
def lane_select(condition, a, b):
    """a where the condition is positive, else b."""
    return a if condition > 0.0 else b
