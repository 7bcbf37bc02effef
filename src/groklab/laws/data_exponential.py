"""T_gen is exponential in the training fraction: without a critical one (the rival of `critical-data`)."""

from groklab.laws._law import Exponent, Law, publish
from groklab.laws.critical_data import FRACTION, SOURCE

publish(
    Law(
        name="data-exponential",
        formula="T_gen = C · exp(-kappa · f)",
        source=SOURCE,
        claimed="the time grows rapidly as data shrink, without a bound on the fraction; no exponent is published",
        time="grokked_step",
        variables=(FRACTION,),
        exponents=(Exponent("kappa"),),
        features=lambda x, _: -x["f"][:, None],
    )
)
