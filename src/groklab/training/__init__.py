"""From an experiment to a run: the engine, and what it drives."""
