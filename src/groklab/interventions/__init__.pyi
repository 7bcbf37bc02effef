from ._base import Change as Change
from ._base import Intervention as Intervention
from ._base import Moment as Moment
from ._when import EVENTS as EVENTS
from ._when import Condition as Condition
