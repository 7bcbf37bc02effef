"""What experiments can name, how users add to it, and what tells one version of their code from another."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
