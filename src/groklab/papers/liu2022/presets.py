"""Liu et al. 2022, "Towards understanding grokking: an effective theory" (arXiv 2205.10343): experiments as presets.

Settings follow the released code (github.com/ejmichaud/grokking-squared) where the paper leaves them open: AdamW with
betas 0.9 and 0.999, rate 1e-3 for the embeddings and 1e-4 for the decoder, full batch, single precision. Thresholds
of 90% count as reached once; that is the criterion 'first_90'.
"""

from groklab.experiment import define
from groklab.papers.liu2022.starts import published_start

SOURCE = "Liu et al. 2022 (arXiv 2205.10343)"
#: Rates and decay of the representation, as dotted settings.
REPRESENTATION = "optimiser.groups.embed.*"

define(
    "liu2022/addition",
    shows="Ten numbers, one dimension: embeddings that are added up line up, and the sum generalises.",
    costs="5,000 steps: five seconds on one core",
    expect="half of the seeds pass 90% of the 10 test pairs; where the training set forces a line, RQI passes 0.95",
    source=f"{SOURCE}, sections 3 and 4",
    task__p=10,
    task__expression="x + y",
    task__modular=False,
    task__pairs="unordered",
    task__layout="a b",
    split__n_train=45,
    network__kind="embedding_decoder",
    objective__kind="nearest_vector",
    optimiser__learning_rate=1e-4,
    optimiser__weight_decay=0.0,
    optimiser__b2=0.999,
    optimiser__groups={"embed.*": {"learning_rate": 1e-3, "weight_decay": 0.0}},
    budget__steps=5000,
    evaluation__criterion="first_90",
    evaluation__every=1,
    measures__names=["parallelograms"],
    measures__every=10,
)
_weights, _rows = published_start(58)
define(
    "liu2022/seed58",
    "liu2022/addition",
    shows="The released code's own run: its initial weights, targets and split for seed 58.",
    costs="5,000 steps: five seconds on one core",
    expect="training and test accuracy pass 90% at the published steps 1,130 and 1,529 (here one more, as step 0 is "
    "the start), RQI 0.95 at 800; all right at the end",
    source=f"{SOURCE}; initial weights recomputed from seed 58",
    split__rows=_rows,
    start__file="groklab:liu2022/init_seed58.npz",
    measures__every=1,
)
define(
    "liu2022/classification",
    "liu2022/addition",
    shows="The same with one output a sum and cross-entropy.",
    costs="10,000 steps: ten seconds on one core",
    expect="fits everywhere; generalises for some seeds, in wedges rather than on a line",
    source=f"{SOURCE}, section 4.2",
    network__head="classes",
    objective__kind="cross_entropy",
    budget__steps=10_000,
)
define(
    "liu2022/modular",
    "liu2022/classification",
    shows="Addition mod 11 in two dimensions: the numbers form a circle and the answers its wedges.",
    costs="20,000 steps: half a minute on one core",
    expect="where it generalises, no parallelogram is exact: a circle is not Euclidean",
    source=f"{SOURCE}, figure 2",
    task__p=11,
    task__modular=True,
    split__n_train=53,
    network__d_embed=2,
    network__combine="mean",
    optimiser__learning_rate=1e-3,
    optimiser__weight_decay=1.0,
    budget__steps=20_000,
)
define(
    "liu2022/s3",
    "liu2022/addition",
    shows="The permutations of three things as 3 x 3 matrices, which the decoder sees multiplied.",
    costs="20,000 steps: half a minute on one core",
    expect="generalises with decoder decay 20 to 50; not with 100 or more",
    source=f"{SOURCE}, section 4.2 and figure 6d; init and L1 of the released notebook",
    task__kind="group",
    task__group="S3",
    task__layout="a b",
    split__n_train=24,
    network__d_embed=9,
    network__combine="product",
    network__embed_scale=0.1,
    objective__embedding_l1=1e-3,
    optimiser__learning_rate=1e-3,
    optimiser__weight_decay=20.0,
    budget__steps=20_000,
    evaluation__every=5,
)
define(
    "liu2022/theory",
    shows="The effective theory: the flow of ten numbers under the parallelogram equations, without any network.",
    costs="a second",
    expect="converges to the line ±1.486 where the training set forces it",
    source=f"{SOURCE}, section 3",
    learner__kind="effective_theory",
    task__p=10,
    task__expression="x + y",
    task__modular=False,
    task__pairs="unordered",
    task__layout="a b",
    split__n_train=45,
    evaluation__criterion="first_90",
)
define(
    "liu2022/diagram",
    "liu2022/addition",
    shows="The base of the phase diagrams: `groklab sweep liu2022/diagram --grid …`.",
    costs="100,000 steps: half a minute on one core, less with retirement",
    expect="four phases over decoder rate 1e-5 to 1e-2 and decay 0 to 10",
    source=f"{SOURCE}, figure 6",
    budget__steps=100_000,
    evaluation__every=20,
    measures__names=[],
    checkpoints__spacing="none",
)
define(
    "liu2022/diagram-classification",
    "liu2022/diagram",
    shows="The base of the phase diagram of classification.",
    costs="100,000 steps: half a minute on one core, less with retirement",
    expect="comprehension and memorisation; grokking between them",
    source=f"{SOURCE}, figure 6",
    network__head="classes",
    objective__kind="cross_entropy",
)
define(
    "liu2022/diagram-s3",
    "liu2022/s3",
    shows="The base of the phase diagram of permutations.",
    costs="100,000 steps: half a minute on one core, less with retirement",
    expect="without decay 90% of the training set at about 155, 99, 53, 39 steps for decoder rates 2.5e-4, 1e-3, 4e-3, "
    "1e-2 (medians of four seeds; published: 136, 95, 54, 37)",
    source=f"{SOURCE}, figure 6d: embeddings at their usual scale and without L1, as in the released grid",
    network__embed_scale=1.0,
    objective__embedding_l1=None,
    budget__steps=100_000,
    evaluation__every=20,
    measures__names=[],
    checkpoints__spacing="none",
)
define(
    "liu2022/diagram-s3-notebook",
    "liu2022/diagram-s3",
    shows="The same as the released notebook of 10,000 steps has it: smaller embeddings, and L1 on them.",
    costs="10,000 steps: three seconds on one core, less with retirement",
    expect="without decay 90% of the training set at about 211, 145, 96, 84 steps for decoder rates 2.5e-4, 1e-3, 4e-3 "
    "and 1e-2: one and a half times the published diagram's and more",
    source=f"{SOURCE}; the later notebook of its figure 6d (its figure 5d)",
    network__embed_scale=0.1,
    objective__embedding_l1=1e-3,
    budget__steps=10_000,
)
define(
    "liu2022/mlp-53",
    shows="The co-author's demonstration: embeddings of addition mod 53 and one hidden layer.",
    costs="10,000 steps: a minute on one core",
    expect="groks; the effective dimension of the embeddings rises, and falls as test accuracy rises",
    source=f"{SOURCE}, section 4.3, by a public demonstration of one of its authors",
    task__p=53,
    task__expression="x + y",
    task__layout="a b",
    split__frac_train=0.6,
    network__kind="mlp",
    network__d_embed=128,
    network__d_mlp=128,
    network__biases=True,
    network__init_scheme="torch",
    network__init_std={"W_E": 1.0},
    optimiser__learning_rate=3e-2,
    optimiser__weight_decay=3e-2,
    optimiser__b2=0.999,
    budget__steps=10_000,
    measures__names=["embedding_components"],
    measures__every=50,
)
define(
    "liu2022/transformer-53",
    shows="A transformer on addition mod 53, with tokens a and b alone and no sign between.",
    costs="20,000 steps: half an hour on two cores",
    expect="groks; its embeddings lie on a circle, and their effective dimension falls as they do",
    source=f"{SOURCE}, figures 1 and 7; no code is published: sizes of Omnigrok's transformer, width 256",
    task__p=53,
    task__expression="x + y",
    task__layout="a b",
    split__frac_train=0.5,
    network__kind="transformer",
    network__d_model=256,
    optimiser__learning_rate=1e-3,
    optimiser__weight_decay=1.0,
    budget__steps=20_000,
    measures__names=["embedding_components"],
    measures__every=100,
)
