from ._exporting import Format as Format
from ._exporting import export as export
from ._importing import import_file as import_file
