"""The step from one level of splitting to the next: which clones are killed, and whose copies take their places.

The text of this module is copied into every compiled splitting kernel, below `lanes`, whose names it uses; the tensor
engine calls it as it is.
"""

# mypy: disable-error-code="no-untyped-def"

import math

from numba import njit

from sdesim.core.elementary import F64, I64, U64, lane
from sdesim.core.lanes import LOW, block_words, unit

RUNNING, FINISHED, EXTINCT, GIVEN_UP = range(4)  # what became of a run
REACHED, RETURNED, DIVERGED, CUT = range(1, 5)  # what became of a clone
MADE, LEVELS, STATUS, NEW_STEPS, OLD_STEPS, N_DIVERGED, N_CUT, LOST, NUMBERS = range(9)  # columns of a run's numbers
SELECTION = U64(5 << 16)
HUGE = 1e308  # coordinates end here: infinity is kept for B


@njit(error_model="numpy", nogil=True, cache=True)
def kth_smallest(values, k):
    """The value of rank k, from 0, in an array that is reordered (Hoare 1961); any number may be tied."""
    low, high = 0, values.size - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return values[k]


@njit(error_model="numpy", nogil=True, cache=True)
def next_slot(slots, slot_level, todo, parent, cursor):
    """A slot whose run has branches to be made; a free slot takes the next run. -1 if there is none."""
    for r in range(slots.shape[0]):
        if slots[r, 0] >= 0 and slots[r, 2] < slots[r, 1]:
            return r
    if cursor[0] < cursor[1]:
        for r in range(slots.shape[0]):
            if slots[r, 0] < 0:
                slots[r, 0], slots[r, 1], slots[r, 2], slots[r, 3] = cursor[0], todo.shape[1], 0, 0
                cursor[0] += 1
                slot_level[r] = -math.inf
                for c in range(todo.shape[1]):
                    todo[r, c], parent[r, c] = c, -1
                return r
    return -1


@lane
def below(word, bound):
    """The upper 64 bits of word * bound: uniform below the bound if the word is."""
    w, n = U64(word), U64(bound)
    w1, w0, n1, n0 = w >> U64(32), w & LOW, n >> U64(32), n & LOW
    middle = w1 * n0 + ((w0 * n0) >> U64(32))
    return I64(w1 * n1 + (middle >> U64(32)) + ((w0 * n1 + (middle & LOW)) >> U64(32)))


@njit(error_model="numpy", nogil=True, cache=True)
def next_level(k0, k1, run, kth, smallest, top, pids, numbers, weight, levels, todo, parent, scratch, alive):
    """Kill every clone whose maximum is at most the k-th smallest one and choose parents among the others.

    The level is the k-th smallest maximum; clones tied with it are killed with it, so that K >= k are. The weight is
    multiplied by 1 - K/N (Bréhier et al. 2016, section 3). Fills todo (clones), parent and the path ids of the copies.

    Returns
    -------
    int, float
        Copies to be made, 0 when the run has ended with its status in numbers[STATUS]; the level.
    """
    n = top.size
    for c in range(n):
        scratch[c] = top[c]
    level = kth_smallest(scratch, kth - 1)
    if level == math.inf:
        numbers[STATUS] = FINISHED
        return 0, level
    killed, living = 0, 0
    for c in range(n):
        if top[c] <= level:
            todo[killed] = c
            killed += 1
        else:
            alive[living] = c
            living += 1
    if numbers[LEVELS] < levels.size:
        levels[numbers[LEVELS]] = level
    numbers[LEVELS] += 1
    weight[0] *= F64(living) / F64(n)
    if living == 0 or weight[0] < smallest:
        numbers[STATUS] = EXTINCT if living == 0 else GIVEN_UP
        return 0, level
    for j in range(killed):
        number = numbers[MADE] + j
        a, b = block_words(k0, k1, SELECTION, number >> 1, run << 40)
        parent[j] = alive[I64(unit(a if number & 1 == 0 else b) * F64(living))]
        pids[todo[j]] = (run << 40) | number
    numbers[MADE] += killed
    return killed, level


@njit(error_model="numpy", nogil=True, cache=True)
def branch_ended(
    k0, k1, slot, first_run, kth, smallest, tops, pids, numbers, weight, levels,
    slots, slot_level, todo, parent, scratch, alive,
):  # fmt: skip
    """Count a branch of a slot as ended; after the last one of a level the next level is found, or the slot is free."""
    slots[slot, 3] -= 1
    if slots[slot, 3] > 0 or slots[slot, 2] < slots[slot, 1]:
        return
    row = slots[slot, 0]
    made, slot_level[slot] = next_level(
        k0, k1, first_run + row, kth, smallest, tops[row], pids[row], numbers[row], weight[row : row + 1], levels[row],
        todo[slot], parent[slot], scratch, alive,
    )  # fmt: skip
    slots[slot, 1], slots[slot, 2] = made, 0
    if made == 0:
        slots[slot, 0] = -1
