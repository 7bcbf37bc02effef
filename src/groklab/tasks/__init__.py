"""Tasks: what is to be learnt, and how it is split."""

from groklab.tasks.arithmetic import Arithmetic, RandomLabels
from groklab.tasks.base import Algebra, Task, TaskShape
from groklab.tasks.expression import Expression, parse
from groklab.tasks.groups import Group
from groklab.tasks.images import MNIST
from groklab.tasks.mixture import Mixture
from groklab.tasks.operations import OPERATIONS, Operation
from groklab.tasks.sequences import DigitAddition, RepeatedSubsequence, SkipTrigrams
from groklab.tasks.splits import ScheduledSplit, Split, SplitRows, make_split
from groklab.tasks.tables import Table, Vectors
from groklab.tasks.teacher_student import TeacherStudent

__all__ = [
    "MNIST",
    "OPERATIONS",
    "Algebra",
    "Arithmetic",
    "DigitAddition",
    "Expression",
    "Group",
    "Mixture",
    "Operation",
    "RandomLabels",
    "RepeatedSubsequence",
    "ScheduledSplit",
    "SkipTrigrams",
    "Split",
    "SplitRows",
    "Table",
    "Task",
    "TaskShape",
    "TeacherStudent",
    "Vectors",
    "make_split",
    "parse",
]
