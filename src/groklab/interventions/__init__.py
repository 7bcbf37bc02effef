"""What may be changed in the middle of training: data, hyperparameters, weights."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
