"""T_gen is exponential in the norm that the weights are held at (arXiv 2606.13753: https://arxiv.org/abs/2606.13753).

ρ is the norm in units of the critical norm W_c. `--axis rho=optimiser.clamp_norm/25` says that W_c is 25; without it,
the exponent is per unit of the norm, and is not to be compared with the published one.
"""

from groklab.laws._law import Exponent, Law, Variable, publish

publish(
    Law(
        name="norm-exponential",
        formula="T_gen = C · exp(alpha · rho)",
        source="arXiv 2606.13753, https://arxiv.org/abs/2606.13753",
        claimed="alpha about 7.5 over four moduli, R² .996, with rho in units of the critical norm",
        time="grokked_step",
        variables=(Variable("rho", ("optimiser.clamp_norm",)),),
        exponents=(Exponent("alpha", published=7.5, units_of="rho"),),
        features=lambda x, _: x["rho"][:, None],
    )
)
