from ._trust import change as change
from ._trust import changed as changed
from ._trust import is_own as is_own
from ._trust import load_again as load_again
from ._trust import load_plugin as load_plugin
from ._trust import load_recorded as load_recorded
from ._trust import trust as trust
