"""Mallinar et al. 2024, "Emergence in non-neural models" (arXiv 2407.20199): the experiments as presets.

Named by operation and learner. Kernel machines follow section 2 with the numbers of the published code: p = 61, half
of the pairs, no ridge, AGOP centred, power 1/2, bandwidth 2.5 in exp(-D / (2 L^2)), in double precision, so that a
training loss of zero reads as zero.
"""

from groklab.papers.presets import define

SOURCE = "Mallinar et al. 2024 (arXiv 2407.20199)"
#: Operation: its formula, and the orientation of the circulant block that the kernel machine learns.
OPERATIONS = {
    "add": ("x + y", "toeplitz"),
    "subtract": ("x - y", "hankel"),
    "multiply": ("x*y", "toeplitz_log"),
    "divide": ("x/y", "hankel_log"),
}
_EXPECT = {
    "quadratic": "test accuracy 5% at iteration 11, 90% at 14–17, .994–1.0 at 29; test loss flat until 7",
    "gaussian": "test accuracy 5% at iteration 11–12, 90% at 14–16, 1.0 at 20–26; test loss flat until 7",
}
MEASURED = ("circulant_deviation", "block_structure")

for operation, (expression, orientation) in OPERATIONS.items():
    for kernel, expect in _EXPECT.items():
        define(
            f"mallinar2024/{operation}-{kernel}",
            shows=f"A {kernel} kernel machine groks {expression} mod 61 by its average gradient outer product.",
            costs="five to ten seconds on one core",
            expect=expect,
            source=f"{SOURCE}, figures 2 and 3",
            learner__kind="rfm",
            learner__kernel=kernel,
            task__p=61,
            task__expression=operation,
            task__layout="a b",
            split__frac_train=0.5,
            measures__names=list(MEASURED),
            measures__every=1,
        )
        define(
            f"mallinar2024/planted-{operation}-{kernel}",
            f"mallinar2024/{operation}-{kernel}",
            shows=f"No iteration at all: random circulant features make the {kernel} kernel learn {expression}.",
            costs="a second on one core",
            expect="test accuracy 1.0 at 50% of the pairs, about .4 (quadratic) or .2 (Gaussian) at 20%",
            source=f"{SOURCE}, figure 4",
            learner__features=orientation,
            budget__steps=0,
        )

define(
    "mallinar2024/figure-1",
    "mallinar2024/add-quadratic",
    shows="The paper's first figure: addition mod 59.",
    costs="five seconds on one core",
    expect="test accuracy leaves 0 at iteration 10, 90% at 14, .998 at the end",
    source=f"{SOURCE}, figure 1",
    task__p=59,
)
define(
    "mallinar2024/two-tasks",
    "mallinar2024/add-gaussian",
    shows="One kernel machine on two tasks, told apart by a bit: x + y and x^2 + y^2, with a transition each.",
    costs="some ten minutes on two cores",
    expect="x^2 + y^2 first (95% at iteration 1), x + y at 8–10, where it stops at the share of pairs whose transpose "
    "was trained on: it has learnt commutativity, not addition",
    source=f"{SOURCE}, appendix G",
    task__kind="mixture",
    task__p=61,
    task__expressions=["x + y", "x^2 + y^2"],
    split__frac_train=0.8,
    measures__names=["stratified_accuracy"],
)
define(
    "rfm-small",
    "mallinar2024/add-gaussian",
    shows="A kernel machine that groks within seconds: addition mod 31 at 70%.",
    costs="a second on one core",
    expect="99% of the test pairs at iteration 10–11",
    source="groklab's own survey of small systems that grok",
    task__p=31,
    split__frac_train=0.7,
)
