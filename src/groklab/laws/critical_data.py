"""T_gen diverges at a critical training fraction.

Liu et al. 2022 (arXiv 2205.10343, https://arxiv.org/abs/2205.10343) have a critical fraction; in Power et al. 2022
(arXiv 2201.02177, https://arxiv.org/abs/2201.02177) the time grows rapidly as data shrink. A power of the distance is
the usual form of such a divergence; neither paper gives the exponent.
"""

import numpy as np

from groklab.laws._law import Columns, Exponent, Law, Threshold, Variable, publish

FRACTION = Variable("f", ("split.frac_train",))
SOURCE = "a form of the divergence in Power et al. 2022 (arXiv 2201.02177) and Liu et al. 2022 (arXiv 2205.10343)"


def _distance(x: Columns, critical: float) -> np.ndarray:
    """Return minus the logarithm of the distance to the critical fraction, infinite below it: (n, 1)."""
    above = x["f"] - critical
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(above > 0, -np.log(above), np.inf)[:, None]


publish(
    Law(
        name="critical-data",
        formula="T_gen = C · (f - f_c)^(-nu)",
        source=SOURCE,
        claimed="the time grows without bound towards a critical fraction; no exponent is published",
        time="grokked_step",
        variables=(FRACTION,),
        exponents=(Exponent("nu", least=0.0),),
        threshold=Threshold("f_c", "f"),
        features=_distance,
    )
)
