"""Which n-th powers are one-to-one mod a prime p: those with n prime to p - 1.

Where they are, (x + y)^n is addition with its answers renamed, and x^n + y^n addition with its operands renamed.
"""

from __future__ import annotations

import math
from typing import Any

from groklab.tasks.evaluation import Node
from groklab.tasks.residues import is_prime


def written_exponents(tree: Node) -> set[int]:
    """The exponents of 2 and above that a formula is written with, and of -2 and below."""
    own = {node.value for node in [tree] if node.op == "^" and abs(node.value) > 1}
    return own.union(*(written_exponents(part) for part in tree.args))


def power(exponent: int, p: int) -> dict[str, Any]:
    """How many n-th powers there are mod p, zero among them, for n = |exponent|.

    `exponent`; `gcd` with p - 1, None where p is no prime and it tells nothing; `values`; `bijective`.
    """
    n = abs(exponent)
    values = len({pow(x, n, p) for x in range(p)})
    return {
        "exponent": exponent,
        "gcd": math.gcd(n, p - 1) if is_prime(p) else None,
        "values": values,
        "bijective": values == p,
    }
