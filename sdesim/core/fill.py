"""Random words and normals of whole tensors on a CPU, by compiled loops over the tensor's own memory."""

from __future__ import annotations

import numpy as np
import torch
from numba import njit

from sdesim.core.lanes import block_words
from sdesim.core.normals import normal_pair
from sdesim.core.philox import MASK


@njit(error_model="numpy", nogil=True, cache=True, fastmath={"contract"})
def _fill_words(k0, k1, channel, path, block, out):
    for i in range(path.size):
        out[i, 0], out[i, 1] = block_words(k0, k1, channel, block[i], path[i])


@njit(error_model="numpy", nogil=True, cache=True, fastmath={"contract"})
def _fill_turns(k0, k1, channel, path, turn, blocks, out):
    for i in range(path.size):
        for j in range(blocks):
            out[i, 2 * j], out[i, 2 * j + 1] = block_words(k0, k1, channel, turn[i] * blocks + j, path[i])


@njit(error_model="numpy", nogil=True, cache=True, fastmath={"contract"})
def _fill_normals(words, first, second):
    for i in range(words.size):
        first[i], second[i] = normal_pair(np.uint64(words[i]))


def words_of(seed: int, path: torch.Tensor, channel: int, block: torch.Tensor) -> torch.Tensor:
    """The two words of each block, shape (..., 2), for CPU tensors of equal shape."""
    flat = [t.contiguous().view(-1).numpy() for t in (path, block)]
    out = np.empty((flat[0].size, 2), np.int64)
    _fill_words(np.uint64(seed & MASK), np.uint64(seed >> 32), np.uint64(channel << 16), *flat, out)
    return torch.from_numpy(out).view(*path.shape, 2)


def words_of_turns(seed: int, path: torch.Tensor, channel: int, turn: torch.Tensor, blocks: int) -> torch.Tensor:
    """The words of the blocks of one turn of each lane, shape (lane, 2 blocks)."""
    out = np.empty((len(path), 2 * blocks), np.int64)
    key = np.uint64(seed & MASK), np.uint64(seed >> 32)
    _fill_turns(*key, np.uint64(channel << 16), path.contiguous().numpy(), turn.contiguous().numpy(), blocks, out)
    return torch.from_numpy(out)


def normals_of(word: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The two normals of each word."""
    flat = word.contiguous().view(-1).numpy()
    first, second = np.empty(flat.size), np.empty(flat.size)
    _fill_normals(flat, first, second)
    return torch.from_numpy(first).view(word.shape), torch.from_numpy(second).view(word.shape)
