"""Residues mod p: primes, generators, the order of powers in which products are sums, and n-th powers.

n-th powers are one-to-one mod a prime p if n is prime to p - 1. Where they are, (x + y)^n is addition with its answers
renamed, and x^n + y^n addition with its operands renamed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from groklab.errors import InputError


@dataclass(frozen=True)
class Power:
    """What is known of x^n mod p.

    Attributes:
        exponent: n, which may be negative.
        gcd: of |n| with p - 1, None where p is not a prime and it means nothing.
        values: how many |n|-th powers there are, zero among them.
        bijective: whether every number is one.
    """

    exponent: int
    gcd: int | None
    values: int
    bijective: bool


def primitive_root(p: int) -> int:
    """Return the smallest generator of the multiplicative group mod p. Raises InputError unless p is a prime."""
    if not is_prime(p):
        raise InputError("task.p", p, "has no discrete logarithm: it needs to be a prime")
    factors = [q for q in range(2, p) if (p - 1) % q == 0 and is_prime(q)]
    return next(g for g in range(1, p) if all(pow(g, (p - 1) // q, p) != 1 for q in factors))


def is_prime(p: int) -> bool:
    """Return whether p is a prime."""
    return p >= 2 and all(p % divisor for divisor in range(2, int(p**0.5) + 1))


def log_order(p: int, generator: int | None = None) -> npt.NDArray[np.int64]:
    """Return the numbers g^1, g^2, …, g^(p-1) = 1 mod p, in whose order products are sums of places.

    Args:
        generator: None is the smallest.

    Raises:
        InputError: where p is not a prime, or the generator generates less.
    """
    smallest = primitive_root(p)
    g = smallest if generator is None else generator
    order = [pow(g, k, p) for k in range(1, p)]
    if len(set(order)) != p - 1 or 0 in order:
        raise InputError("generator", g, f"generates fewer than the {p - 1} non-zero numbers mod {p}")
    return np.array(order, np.int64)


def power(exponent: int, p: int) -> Power:
    """Count the n-th powers mod p, zero among them, for n = |exponent|."""
    n = abs(exponent)
    values = len({pow(x, n, p) for x in range(p)})
    return Power(exponent, math.gcd(n, p - 1) if is_prime(p) else None, values, values == p)
