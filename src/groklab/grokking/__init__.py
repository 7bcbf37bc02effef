"""When a model has grokked, and which phase its learning belongs to."""
