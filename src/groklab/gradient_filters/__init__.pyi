from ._base import GradientFilter as GradientFilter
from ._base import Weights as Weights
from ._grokfast import GrokfastEMA as GrokfastEMA
from ._grokfast import GrokfastMA as GrokfastMA
from ._perpgrad import PerpGrad as PerpGrad
