"""What an experiment is: its schema, its presets, and how it is read."""
