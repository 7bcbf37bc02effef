"""Learners: things that improve step by step."""
