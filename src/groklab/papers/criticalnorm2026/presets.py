"""The weight norm held from the start, without decay (arXiv 2606.13753). The paper's sizes are not known here."""

from groklab.experiment import define

define(
    "criticalnorm2026/held",
    "micro",
    shows="The norm of all weights is held at 38 from the start, without decay, and the network groks.",
    costs="about four seconds on one core",
    expect="groks; at norms from 30 to 45 at 1,550 to 2,910 (two seeds), at 60 and more not within 20,000 steps",
    source="arXiv 2606.13753, on micro: norms and budget are groklab's own",
    optimiser__weight_decay=0.0,
    budget__steps=8_000,
    budget__stop_when_grokked=True,
    budget__retire=True,
    interventions=[{"step": 0, "kind": "norm", "value": 38.0, "hold": True}],
)
