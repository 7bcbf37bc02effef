"""What is kept on disk: files, runs, and their collection."""
