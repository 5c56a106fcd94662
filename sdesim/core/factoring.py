"""Sums of products with common factors taken out, as in Horner's scheme.

The product rule turns n factors into n products of n factors each. Taking the most frequent factor out of a sum,
and going on with what is left inside and outside, leaves about 3 n multiplications of the n**2.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import sympy as sp


def factored(expr: Any) -> Any:
    """The same expression, every sum in it with its common factors outside."""
    if not expr.args or not expr.has(sp.Add):
        return expr
    inner = expr.func(*(factored(a) for a in expr.args))
    return _sum(list(inner.args)) if inner.is_Add else inner


def _sum(terms: list[Any]) -> Any:
    parts = [_factors(t) for t in terms]
    shared = _most_frequent(parts)
    if shared is None:
        return sp.Add(*terms)
    inside = [t for t, p in zip(terms, parts, strict=True) if shared in p]
    outside = [t for t, p in zip(terms, parts, strict=True) if shared not in p]
    power = min(p[shared] for p in parts if shared in p)
    rest = sp.Mul(shared**power, _sum([t / shared**power for t in inside]), evaluate=False)
    return sp.Add(rest, _sum(outside)) if outside else rest


def _factors(term: Any) -> Counter[Any]:
    """Factors that are no numbers, with the whole power they have at least."""
    found: Counter[Any] = Counter()
    for factor in sp.Mul.make_args(term):
        if factor.is_number:
            continue
        if factor.is_Pow and factor.exp.is_Integer and factor.exp > 0:
            found[factor.base] += int(factor.exp)
        else:
            found[factor] += 1
    return found


def _most_frequent(parts: list[Counter[Any]]) -> Any:
    """The factor of the most terms: of three or more, or of two that have another one in common as well."""
    count = Counter(f for p in parts for f in p)
    candidates = sorted((f for f, n in count.items() if n > 1), key=lambda f: (-count[f], sp.default_sort_key(f)))
    for factor in candidates:
        holders = [p for p in parts if factor in p]
        common = set.intersection(*(set(p) for p in holders))
        if len(holders) > 2 or sum(min(p[f] for p in holders) for f in common) > 1:
            return factor
    return None
