"""What an experiment is: its schema, its presets, and how it is read."""

#: Settings of how much is trained on: one replaces another.
SIZES = ("split.frac_train", "split.n_train", "split.rows")
