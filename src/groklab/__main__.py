"""`python -m groklab` is the command `groklab`."""

from groklab.cli import main

main()
