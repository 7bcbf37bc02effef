from ._trust import change_of_file as change_of_file
from ._trust import change_of_plugin as change_of_plugin
from ._trust import is_own as is_own
from ._trust import load_again as load_again
from ._trust import load_plugin as load_plugin
from ._trust import load_recorded as load_recorded
from ._trust import trust as trust
