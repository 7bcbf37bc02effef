"""What a trained model does: its measures, in numbers and in words."""
