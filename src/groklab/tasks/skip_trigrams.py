"""Skip trigrams: what follows a token depends on one that stood anywhere before it."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le

from groklab.errors import InputError
from groklab.lazy import jax, jnp
from groklab.registry import register
from groklab.tasks.base import Algebra, Task
from groklab.tasks.portable_random import raw_numbers
from groklab.tasks.sequences import Data, Drawn, Examples, Seed, fixed_examples


@register("task", "skip_trigrams")
class SkipTrigrams:
    """Triples (a, b, c): after an a anywhere in the sequence, a last token b is followed by c (Nanda et al. 2023).

    The published tokens are not known; these are groklab's own. The table, drawn from table_seed, has n_trigrams
    different pairs (a, b) from m first and m last tokens, m = ceil(sqrt(n_trigrams)), so that neither a nor b alone
    tells the answer, and as many different answers c, which may be any tokens. An example takes one trigram, with
    equal chances, puts a at a random place and b at the end of seq_len tokens, and fills up with random tokens, of
    which none makes another trigram of the table with b. The answer is read at the end.
    data, examples, data_seed: as in 'digit_addition'.
    """

    n_trigrams: Annotated[int, Ge(2), Le(1000)] = 12
    seq_len: Annotated[int, Ge(2), Le(1000)] = 8
    vocabulary: Annotated[int, Ge(3), Le(100_000)] = 24
    table_seed: Seed = 0
    data: Data = "finite"
    examples: Examples = 1024
    data_seed: Seed = 0

    @property
    def _firsts(self) -> int:
        return math.ceil(math.sqrt(self.n_trigrams))

    def table(self) -> np.ndarray:
        """(n_trigrams, 3) int32 rows a, b, c. Raises InputError if the vocabulary is too small for them."""
        m, n = self._firsts, self.n_trigrams
        needed = max(2 * m + 1, n)
        if self.vocabulary < needed:
            raise InputError("task.vocabulary", self.vocabulary, f"needs at least {needed} tokens for {n} trigrams")
        numbers = raw_numbers(2 * self.vocabulary + m * m, self.table_seed, "labels")
        tokens, answers, cells = (
            np.argsort(part, kind="stable") for part in np.split(numbers, [self.vocabulary, 2 * self.vocabulary])
        )
        a, b = np.divmod(cells[:n], m)
        return np.stack([tokens[a], tokens[m + b], answers[:n]], axis=1).astype(np.int32)

    def build(self) -> Task:
        """The task; `algebra.trigrams` is the table. Raises InputError as `table` does."""
        table = self.table()

        def draw(key: Any, n: int) -> Drawn:
            return self._draw(table, key, n)

        inputs, targets, mask = fixed_examples(draw, self.examples, self.data_seed)
        return Task(
            name=f"{self.n_trigrams} skip trigrams",
            inputs=inputs,
            targets=targets,
            d_vocab=self.vocabulary,
            n_classes=self.vocabulary,
            algebra=Algebra(operation="skip_trigrams", operands=inputs, n_answers=self.n_trigrams, trigrams=table),
            reads=(self.seq_len - 1, self.seq_len),
            mask=mask,
            draw=draw if self.data == "infinite" else None,
        )

    def _draw(self, table: np.ndarray, key: Any, n: int) -> Drawn:

        trigrams = jnp.asarray(table)
        # tokens[i, t]: whether t would make a trigram with the last token of trigram i
        clashes = np.zeros((self.n_trigrams, self.vocabulary), bool)
        for i, (_, b, _) in enumerate(table):
            clashes[i, table[table[:, 1] == b, 0]] = True
        harmless = jnp.asarray(np.setdiff1d(np.arange(self.vocabulary, dtype=np.int32), table[:, 0]))

        which, filling, instead, places = jax.random.split(key, 4)
        chosen = jax.random.randint(which, (n,), 0, self.n_trigrams, jnp.int32)
        shape = (n, self.seq_len)
        noise = jax.random.randint(filling, shape, 0, self.vocabulary, jnp.int32)
        spare = harmless[jax.random.randint(instead, shape, 0, len(harmless), jnp.int32)]
        noise = jnp.where(jnp.take_along_axis(jnp.asarray(clashes)[chosen], noise, axis=1), spare, noise)
        first = jax.random.randint(places, (n, 1), 0, self.seq_len - 1, jnp.int32)
        position = jnp.arange(self.seq_len, dtype=jnp.int32)
        tokens = jnp.where(position == first, trigrams[chosen, 0, None], noise)
        tokens = jnp.where(position == self.seq_len - 1, trigrams[chosen, 1, None], tokens)
        return tokens, trigrams[chosen, 2, None], jnp.ones((n, 1), bool)
