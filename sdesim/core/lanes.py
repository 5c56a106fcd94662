"""Lanes of paths: stack arrays and the compiled Philox rounds that fill them with uniforms.

Lane arrays live on the stack, where LLVM can prove that they do not overlap; that is what lets every loop over
them become vector code. Like `elementary`, the text of this module is copied into every generated kernel: it may
use the names of `elementary`, which stands above it there, and nothing else of sdesim.
"""

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from sdesim.core.elementary import I64, U64, from_bits, lane

LOW = U64(0xFFFFFFFF)
TWO_TO_MINUS_32 = 2.0**-32


@intrinsic(prefer_literal=True)
def float_lanes(typingctx, n):
    """Room on the stack for a literal number of doubles."""
    size = n.literal_value

    def codegen(context, builder, sig, args):
        room = cgutils.alloca_once(builder, ir.DoubleType(), size=size)
        room.align = 64
        return room

    return types.CPointer(types.float64)(n), codegen


@intrinsic(prefer_literal=True)
def int_lanes(typingctx, n):
    """Room on the stack for a literal number of 64-bit integers."""
    size = n.literal_value

    def codegen(context, builder, sig, args):
        room = cgutils.alloca_once(builder, ir.IntType(64), size=size)
        room.align = 64
        return room

    return types.CPointer(types.int64)(n), codegen


@intrinsic
def get(typingctx, lanes, i):
    """The value in lane i."""

    def codegen(context, builder, sig, args):
        return builder.load(builder.gep(args[0], [args[1]]))

    return lanes.dtype(lanes, types.int64), codegen


@intrinsic
def put(typingctx, lanes, i, value):
    """Store a value in lane i."""

    def codegen(context, builder, sig, args):
        builder.store(args[2], builder.gep(args[0], [args[1]]))
        return context.get_dummy_value()

    return types.void(lanes, types.int64, lanes.dtype), codegen


@intrinsic
def full_width(typingctx):
    """Ask LLVM for the widest vectors in the calling function: on AVX-512 they are 1.7 times as fast here."""

    def codegen(context, builder, sig, args):
        attributes = builder.function.attributes
        set.add(attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), codegen


@njit(error_model="numpy", forceinline=True)
def philox(k0, k1, c0, c1, c2, c3):
    """Ten rounds of Philox4x32 on words held in 64-bit integers."""
    for _ in range(10):
        p0 = U64(0xD2511F53) * (c0 & LOW)
        p1 = U64(0xCD9E8D57) * (c2 & LOW)
        c0 = (p1 >> U64(32)) ^ c1 ^ k0
        c1 = p1 & LOW
        c2 = (p0 >> U64(32)) ^ c3 ^ k1
        c3 = p0 & LOW
        k0 = (k0 + U64(0x9E3779B9)) & LOW
        k1 = (k1 + U64(0xBB67AE85)) & LOW
    return c0, c1, c2, c3


@lane
def unit(w):
    """A word to a uniform (n + 1/2) / 2**52 on (0, 1)."""
    return from_bits(I64(U64(w) >> U64(12)) | I64(0x3FF0000000000000)) - 0.9999999999999999


@lane
def block_words(k0, k1, channel, block, path):
    """The two words of one block."""
    b, p = U64(block), U64(path)
    w0, w1, w2, w3 = philox(k0, k1, b & LOW, channel | (b >> U64(32)), p & LOW, p >> U64(32))
    return I64((w0 << U64(32)) | w1), I64((w2 << U64(32)) | w3)
