"""Philox against the answers published with Random123 (kat_vectors), in NumPy and compiled, and the layout of words."""

import numpy as np
import pytest
from numba import njit

from sdesim.core import lanes, philox
from tests import chance

ONES = 0xFFFFFFFF
PUBLISHED = [
    ((0, 0), (0, 0, 0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES), (ONES, ONES, ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0xA4093822, 0x299F31D0),
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@njit(error_model="numpy")
def compiled_words(k0, k1, c0, c1, c2, c3):
    return lanes.philox(k0, k1, c0, c1, c2, c3)


@njit(error_model="numpy")
def compiled_block(k0, k1, channel, block, path, out):
    for i in range(out.shape[0]):
        out[i, 0], out[i, 1] = lanes.block_words(k0, k1, channel, block[i], path[i])


@njit(error_model="numpy")
def compiled_unit(words, out):
    for i in range(out.size):
        out[i] = lanes.unit(words[i])


def compiled(seed, path, channel, block):
    out = np.empty((len(path), 2), np.int64)
    k0, k1 = np.uint64(seed & ONES), np.uint64(seed >> 32)
    compiled_block(k0, k1, np.uint64(channel << 16), np.asarray(block), np.asarray(path), out)
    return out.view(np.uint64)


@pytest.mark.parametrize(("key", "counter", "words"), PUBLISHED)
def test_numpy_words_are_the_published_ones(key, counter, words):
    assert tuple(int(w) for w in philox.philox4x32(key, counter)) == words


@pytest.mark.parametrize(("key", "counter", "words"), PUBLISHED)
def test_compiled_words_are_the_published_ones(key, counter, words):
    assert tuple(int(w) for w in compiled_words(*(np.uint64(v) for v in (*key, *counter)))) == words


def test_compiled_words_are_numpys_over_the_whole_range_of_seeds_paths_and_blocks():
    rng = np.random.default_rng(0)
    path = rng.integers(0, 1 << 63, 500)
    block = rng.integers(0, 1 << 47, 500)
    for seed in (0, 1, (1 << 64) - 1, 0x123456789ABCDEF):
        for channel in range(5):
            expected = np.stack(philox.words(seed, path, channel, block), axis=-1)
            assert np.array_equal(compiled(seed, path, channel, block), expected)


def test_compiled_uniforms_are_numpys_bit_for_bit():
    words = np.random.default_rng(1).integers(0, 1 << 64, 10_000, dtype=np.uint64)
    words[:3] = 0, (1 << 64) - 1, 1 << 63
    out = np.empty(words.size)
    compiled_unit(words.view(np.int64), out)
    assert np.array_equal(out, philox.uniform(words))


@pytest.mark.parametrize(
    ("high", "low", "value"),
    [
        (0, 0, 2.0**-53),
        (ONES, ONES, 1 - 2.0**-53),
        (0x80000000, 0, 0.5 + 2.0**-53),
        (0, 1 << 12, 1.5 * 2.0**-52),
    ],
)
def test_a_word_makes_a_uniform_inside_the_unit_interval(high, low, value):
    assert float(philox.uniform(np.uint64((high << 32) | low))) == value


def test_the_layout_of_a_counter_is_block_channel_path():
    first, second = philox.words(7 + (9 << 32), (5 << 32) + 3, 2, (6 << 32) + 4)
    w = [int(v) for v in philox.philox4x32((7, 9), (4, (2 << 16) | 6, 3, 5))]
    assert (int(first), int(second)) == ((w[0] << 32) | w[1], (w[2] << 32) | w[3])


def test_streams_of_seed_path_channel_and_block_share_no_number():
    streams = [
        philox.words(seed, np.arange(4)[:, None], channel, np.arange(50))
        for seed in (0, 1, 1 << 32)
        for channel in range(5)
    ]
    numbers = np.concatenate([np.ravel(part) for pair in streams for part in pair])
    assert len(np.unique(numbers)) == numbers.size


def test_cells_of_a_grid_have_paths_of_their_own():
    ids = philox.path_id(np.arange(3)[:, None], np.array([0, 1, (1 << 40) - 1]))
    assert len(np.unique(ids)) == 9
    assert np.array_equal(philox.path_id(0, np.arange(5)), np.arange(5))


def test_uniforms_along_paths_and_along_blocks_are_uniform_and_independent():
    u, t = (philox.uniform(w) for w in philox.words(3, np.arange(100_000), philox.NOISE, 0))
    v = philox.uniform(philox.words(3, 0, philox.NOISE, np.arange(100_000))[0])
    for sample in (u, t, v):
        assert chance.follows(sample, lambda x: x)
        assert not chance.follows(sample**1.05, lambda x: x)
    for a, b in ((u, t), (u, v), (u[1:], u[:-1]), (v[1:], v[:-1])):
        product = (a - 0.5) * (b - 0.5)
        assert chance.has_mean(product, 0.0)
        assert not chance.has_mean(product + 0.03 * (a - 0.5) ** 2, 0.0)
