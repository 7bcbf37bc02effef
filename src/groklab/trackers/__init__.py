"""Adapters for programs that track experiments: MLflow, Weights & Biases, TensorBoard, and those of plug-ins."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
