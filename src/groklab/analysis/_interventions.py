"""The interventions of the measure `ablations` in words."""

from __future__ import annotations

#: Interventions of the measure `ablations` as labels of a figure or a table; SUM stands for a + b or a − b.
LABELS = {
    "base": "nothing changed",
    "polynomials_well_explained": "well-explained neurons: one frequency only",
    "polynomials_all": "all neurons: one frequency only",
    "own_sums_well_explained": "well-explained neurons: cos, sin of SUM only",
    "key_sums_all": "all neurons: cos, sin of SUM at key k only",
    "unexplained_neurons_zero": "other neurons set to 0",
    "unexplained_neurons_mean": "other neurons set to their means",
    "logits_key_blocks": "logits: blocks of the key frequencies only",
    "logits_without_keys": "logits without all key frequencies",
    "directions": "neurons: directions u, v of W_L only",
    "complement": "neurons without the directions u, v",
    "directions_W_L_alone": "directions u, v only, no path around the MLP",
    "complement_W_L_alone": "without u, v, and no path around the MLP",
    "skip_around_mlp_zero": "path around the MLP set to 0",
    "skip_around_mlp_mean": "path around the MLP set to its mean",
    "attention_output_zero": "attention's output set to 0",
    "skip_around_attention_zero": "path around the attention set to 0",
    "self_attention_zero": "last position's attention to itself set to 0",
    "attention_linear": "attention replaced by a linear form",
}


def label_of(intervention: str, of_sum: str) -> str:
    """Return the label of an intervention; of_sum: 'a + b' or 'a − b'."""
    what, _, k = intervention.partition("_without_")
    if k.isdigit():
        return f"{what} without k = {k}"
    return LABELS.get(intervention, intervention.replace("_", " ")).replace("SUM", of_sum)
