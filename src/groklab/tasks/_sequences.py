"""Sequences with an answer at several positions, from fixed examples or drawn at each step.

The other tasks of Nanda et al. 2023 (arXiv 2301.05217, section 5 and appendix): addition digit by digit, repeated
subsequences, skip trigrams. Every example, fixed or fresh, comes from one function of a random key, in integers, so
that it is the same on every machine.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from annotated_types import Ge, Le

from groklab.errors import InputError
from groklab.lazy import jax, jnp
from groklab.registry import register
from groklab.tasks._base import Algebra, Draw, Task
from groklab.tasks._portable_random import uniform_integers

Data: TypeAlias = Literal["finite", "infinite"]
Examples: TypeAlias = Annotated[int, Ge(2), Le(1_000_000)]
Seed: TypeAlias = Annotated[int, Ge(0), Le(2**32 - 1)]
Drawn: TypeAlias = "tuple[jax.Array, jax.Array, jax.Array]"

#: Draws that may add nothing before the examples are taken to be exhausted.
ROUNDS = 64
PLUS, EQUALS = 10, 11


@register("task", "digit_addition")
class DigitAddition:
    """Addition of two numbers, digit by digit: `1 2 + 9 0 = 1 0 2`, most significant digit first (Nanda et al. 2023).

    Tokens: the digits, 10 for + and 11 for =. Each digit of the answer is predicted at the position before it.

    Attributes:
        n_digits: digits of each operand, drawn uniformly; the answer has one more.
        data: 'finite' takes `examples` different examples, drawn once from data_seed, which the split divides;
            'infinite' draws a fresh batch at each step (needs batch_size) and tests on all of those examples.
    """

    n_digits: Annotated[int, Ge(1), Le(9)] = 5
    data: Data = "finite"
    examples: Examples = 2000
    data_seed: Seed = 0

    def build(self) -> Task:
        """Build the task; `operands` are the two numbers. Raises InputError if there are not so many examples."""
        k = self.n_digits
        inputs, targets, mask = fixed_examples(self._draw, self.examples, self.data_seed)
        powers = 10 ** np.arange(k)[::-1]
        operands = np.stack([inputs[:, :k] @ powers, inputs[:, k + 1 : 2 * k + 1] @ powers], axis=1)
        return Task(
            name=f"{k}-digit addition",
            inputs=inputs,
            targets=targets,
            d_vocab=12,
            n_classes=10,
            algebra=Algebra(
                operation="digit_addition",
                operands=operands.astype(np.int32),
                n_answers=10,
                commutative=True,
                transposable=True,
            ),
            reads=(2 * k + 1, 3 * k + 2),
            mask=mask,
            draw=self._draw if self.data == "infinite" else None,
        )

    def _draw(self, key: Any, n: int) -> Drawn:

        k = self.n_digits
        digits = jax.random.randint(key, (n, 2, k), 0, 10, jnp.int32)
        answer, carry = [], jnp.zeros(n, jnp.int32)
        for place in reversed(range(k)):
            total = digits[:, 0, place] + digits[:, 1, place] + carry
            answer.append(total % 10)
            carry = total // 10
        targets = jnp.stack([carry, *reversed(answer)], axis=1)
        plus, equals = (jnp.full((n, 1), token, jnp.int32) for token in (PLUS, EQUALS))
        inputs = jnp.concatenate([digits[:, 0], plus, digits[:, 1], equals, targets], axis=1)
        return inputs, targets, jnp.ones(targets.shape, bool)


@register("task", "repeated_subsequence")
class RepeatedSubsequence:
    """Noise in which one subsequence is repeated: what induction heads predict (Nanda et al. 2023).

    A sequence is the token 0 and then random tokens 1..vocabulary-1. It is cut into `repeats` intervals of equal
    length, each of which holds the same random subsequence of `subsequence` tokens at a random place. Predictions count
    where they can be right: in every repeat but the first, at all of its tokens but the last, whose next token is the
    subsequence's next (2 x 15 positions with the defaults). `data`, `examples` and `data_seed` are as in
    'digit_addition'.
    """

    vocabulary: Annotated[int, Ge(3), Le(100_000)] = 128
    seq_len: Annotated[int, Ge(5), Le(1000)] = 85
    subsequence: Annotated[int, Ge(2), Le(1000)] = 16
    repeats: Annotated[int, Ge(2), Le(100)] = 3
    data: Data = "finite"
    examples: Examples = 1024
    data_seed: Seed = 0

    @property
    def _interval(self) -> int:
        return (self.seq_len - 1) // self.repeats

    def build(self) -> Task:
        """Build the task. Raises InputError if the subsequence is longer than an interval."""
        if self.subsequence > self._interval:
            allowed = f"needs to be at most {self._interval}, the length of each of {self.repeats} intervals"
            raise InputError("task.subsequence", self.subsequence, allowed)
        inputs, targets, mask = fixed_examples(self._draw, self.examples, self.data_seed)
        return Task(
            name=f"{self.repeats} x {self.subsequence} repeated tokens in {self.seq_len}",
            inputs=inputs,
            targets=targets,
            d_vocab=self.vocabulary,
            n_classes=self.vocabulary,
            algebra=Algebra(operation="repeated_subsequence", operands=inputs, n_answers=self.vocabulary),
            reads=(1 + self._interval, self.repeats * self._interval),
            mask=mask,
            draw=self._draw if self.data == "infinite" else None,
        )

    def _draw(self, key: Any, n: int) -> Drawn:

        noise, copied, places = jax.random.split(key, 3)
        tokens = jax.random.randint(noise, (n, self.seq_len), 1, self.vocabulary, jnp.int32).at[:, 0].set(0)
        repeated = jax.random.randint(copied, (n, self.subsequence), 1, self.vocabulary, jnp.int32)
        room = self._interval - self.subsequence + 1
        starts = jax.random.randint(places, (n, self.repeats), 0, room, jnp.int32)
        starts = starts + 1 + self._interval * jnp.arange(self.repeats, dtype=jnp.int32)
        predictable = jnp.zeros(tokens.shape, bool)
        for r in range(self.repeats):
            index = jnp.arange(self.seq_len, dtype=jnp.int32) - starts[:, r, None]
            own = jnp.take_along_axis(repeated, jnp.clip(index, 0, self.subsequence - 1), axis=1)
            tokens = jnp.where((index >= 0) & (index < self.subsequence), own, tokens)
            if r > 0:
                predictable |= (index >= 0) & (index < self.subsequence - 1)
        start, stop = 1 + self._interval, self.repeats * self._interval
        return tokens, tokens[:, start + 1 : stop + 1], predictable[:, start:stop]


@register("task", "skip_trigrams")
class SkipTrigrams:
    """Triples (a, b, c): after an a anywhere in the sequence, a last token b is followed by c (Nanda et al. 2023).

    The published tokens are not known; these are groklab's own. The table, drawn from table_seed, has n_trigrams
    different pairs (a, b) from m first and m last tokens, m = ceil(sqrt(n_trigrams)), so that neither a nor b alone
    determines the answer, and as many different answers c, which may be any tokens. An example takes one trigram, with
    equal chances, puts a at a random place and b at the end of seq_len tokens, and fills up with random tokens, none of
    which makes another trigram of the table with b. The answer is read at the end. `data`, `examples` and `data_seed`
    are as in 'digit_addition'.
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
        """Return rows a, b, c, (n_trigrams, 3) int32. Raises InputError if the vocabulary is too small for them."""
        m, n = self._firsts, self.n_trigrams
        needed = max(2 * m + 1, n)
        if self.vocabulary < needed:
            raise InputError("task.vocabulary", self.vocabulary, f"needs at least {needed} tokens for {n} trigrams")
        drawn = uniform_integers(2 * self.vocabulary + m * m, self.table_seed, "labels")
        tokens, answers, cells = (
            np.argsort(part, kind="stable") for part in np.split(drawn, [self.vocabulary, 2 * self.vocabulary])
        )
        a, b = np.divmod(cells[:n], m)
        return np.stack([tokens[a], tokens[m + b], answers[:n]], axis=1).astype(np.int32)

    def build(self) -> Task:
        """Build the task; `algebra.trigrams` is the table. Raises InputError as `table` does."""
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


def fixed_examples(draw: Draw, examples: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs (N, n_ctx), targets and mask (N, n_reads) of N = `examples` different examples, drawn from `seed`.

    Raises:
        InputError: on 'task.examples' if there are not so many.
    """
    # as one program: compiled operation by operation, a task takes seconds to build
    drawn = jax.jit(lambda key, round_: draw(jax.random.fold_in(key, round_), examples))
    key = jax.random.key(seed)
    kept: list[np.ndarray] = []
    for round_ in range(ROUNDS):
        new = [np.asarray(part) for part in drawn(key, round_)]
        kept = [np.concatenate(parts) for parts in zip(kept, new, strict=True)] if kept else new
        # equal inputs could be both in training and in test
        first = np.sort(np.unique(kept[0], axis=0, return_index=True)[1])
        kept = [part[first] for part in kept]
        if len(first) >= examples:
            inputs, targets, mask = (part[:examples] for part in kept)
            return inputs, targets, mask
    raise InputError("task.examples", examples, f"is too many: there are {len(kept[0]):,} different ones")
