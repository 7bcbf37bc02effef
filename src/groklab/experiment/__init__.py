"""What an experiment is: its schema, how it is read."""
