"""Furuta, Minegishi, Iwasawa & Matsuo 2024 (arXiv 2402.16726): grokking on modular polynomials, as presets.

The operations by name, mixtures of them, and transfer of what was grokked. Differences from the published code: the
operands are numbers mod p (`furuta2024/published-range` has the code's own, in which signs are operands, too); the
seed draws initial weights as well as the split; a run stops 2,000 steps after it has grokked, or at 100,000 as the
released configurations do (the paper's own bound is 300,000: `budget.steps=300000`).
"""

from groklab.experiment import define, preset
from groklab.tasks import FURUTA_OPERATIONS, OPERATIONS


def _run_of(name: str) -> str:
    """The name of the run of another preset."""
    from groklab.training import run_name

    return run_name([preset(name)])


SOURCE = "Furuta et al. 2024 (arXiv 2402.16726)"
#: Of table 5: operations that do not grok from 30% of the pairs, and the smallest published share from which they do.
HARD = {
    "2x_y": "50%",
    "2x_m_y": "40%",
    "2x_3y": "40%",
    "2x_m_3y": "40%",
    "xy_y": "50%",
    "xy_m_y": "50%",
    "x2_m_y": "40%",
    "x2_xy_y2": "80%",
    "x2_xy_y2_x": "more than 90%",
    "x3_xy": "90%",
    "x3_xy2_y": "more than 90%",
    "x_minus_y_power_3": "50%",
    "x_minus_y_power_4": "70%",
}

define(
    "furuta2024",
    shows="Addition mod 97 without positions or biases: the setting of all the others.",
    costs="some 7,000 steps of 2.7 GFLOP: about 3 minutes on two cores",
    expect="memorised by step 200, grokked at about 4,600; the embedding is sparse in frequency, cosine and sine alike",
    source=f"{SOURCE}, sections 3 and 4",
    task__p=97,
    task__expression="add",
    task__layout="a op b",
    task__outputs="vocabulary",
    split__frac_train=0.3,
    network__kind="transformer",
    network__positional_embedding="none",
    network__biases="none",
    network__init_scheme="furuta2024",
    optimiser__learning_rate=1e-3,
    optimiser__weight_decay=1.0,
    optimiser__b1=0.9,
    optimiser__b2=0.98,
    budget__steps=100_000,
    budget__stop_when_grokked=True,
    budget__extra_steps=2_000,
    evaluation__every=50,
    measures__names=["fourier_sparsity"],
    measures__every=100,
)

for operation in FURUTA_OPERATIONS:
    hard = f"does not grok from 30% of the pairs; the paper's smallest share is {HARD.get(operation)}"
    define(
        f"furuta2024/{operation}",
        "furuta2024",
        shows=f"{OPERATIONS[operation].expression} mod 97 from 30% of the pairs.",
        costs="minutes on two cores where it groks, an hour of 100,000 steps where it does not",
        expect=hard if operation in HARD else "groks from 30% of the pairs",
        source=f"{SOURCE}, table 5",
        task__expression=operation,
    )

define(
    "furuta2024/published-range",
    "furuta2024",
    shows="Addition as the published code has it: operands run over all 102 token ids, split by Python's shuffle.",
    costs="some 7,000 steps: about 5 minutes on two cores",
    expect="grokked at about 4,500",
    source=f"{SOURCE}, the published code",
    task__operand_range="vocabulary",
    split__method="python_shuffle",
    split__seed=0,
)
define(
    "furuta2024/frozen-embedding",
    "furuta2024",
    shows="Addition with a random embedding that is never trained.",
    costs="minutes on two cores",
    expect="groks nevertheless (appendix F)",
    source=f"{SOURCE}, appendix F",
    optimiser__groups={"embed.*": {"frozen": True}},
)
define(
    "furuta2024/pt-e",
    "furuta2024/2x_y",
    shows="Pre-grokked embedding: 2x + y with the frozen embedding of a model that has grokked addition.",
    costs="minutes on two cores, after `groklab train furuta2024/add`, whose last weights it takes",
    expect="groks from 30% of the pairs, where 2x + y alone does not",
    source=f"{SOURCE}, section on transfer; table 6",
    start__run=lambda: _run_of("furuta2024/add"),
    start__take=["embedding"],
    start__freeze=True,
)
define(
    "furuta2024/pt-t",
    "furuta2024/xy_y",
    shows="Pre-grokked transformer: xy + y with the frozen attention and MLP of a model that has grokked x*y.",
    costs="minutes on two cores, after `groklab train furuta2024/multiply`, whose last weights it takes",
    expect="groks from 30% of the pairs, where xy + y alone does not",
    source=f"{SOURCE}, section on transfer; table 6",
    start__run=lambda: _run_of("furuta2024/multiply"),
    start__take=["transformer"],
    start__freeze=True,
)

#: Operations trained together, and what the paper says of them.
MIXTURES = {
    "add-subtract": (("add", "subtract"), "0.9", "both grok (figure 4)"),
    "add-multiply": (("add", "multiply"), "0.9", "both grok (figure 4)"),
    "elementary": (("add", "subtract", "multiply"), "0.9", "all grok, multiplication last; not at 30% (figure 4)"),
    "add-xy_y": (("add", "xy_y"), "0.3", "addition makes xy + y grok (appendix D)"),
    "quadratic": (
        ("x2_y2", "x2_xy_y2", "x_plus_y_power_2"),
        "0.3",
        "x^2 + xy + y^2 groks beside the others, as alone it does not (appendix D)",
    ),
    "cubic-xy": (("x_plus_y_power_3", "x3_xy"), "0.3", "x^3 + xy comes further than alone, and stays below 100%"),
    "cubic-xy2": (("x_plus_y_power_3", "x3_xy2_y"), "0.3", "x^3 + xy^2 + y comes further than alone"),
}
for name, (operations, share, expect) in MIXTURES.items():
    formulas = ", ".join(OPERATIONS[o].expression for o in operations)
    define(
        f"furuta2024/mixture-{name}",
        "furuta2024",
        shows=f"One model for {formulas} mod 97, each with a token of its own.",
        costs="some ten minutes to an hour on two cores",
        expect=expect,
        source=f"{SOURCE}, figure 4 and appendix D",
        task__kind="mixture",
        task__p=97,
        task__expressions=list(operations),
        task__tokens="signs",
        task__outputs="vocabulary",
        split__frac_train=float(share),
        measures__names=["fourier_sparsity"],
    )
