from ._server import Dashboard as Dashboard
