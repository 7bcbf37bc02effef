from ._sending import Live as Live
from ._sending import Tracking as Tracking
from ._sending import send as send
from ._tracker import Record as Record
from ._tracker import Tracker as Tracker
from ._tracker import tracker_names as tracker_names
