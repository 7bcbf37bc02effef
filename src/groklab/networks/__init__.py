"""Networks: weights by name, and the functions from inputs to logits."""

from groklab.networks.common import Network
from groklab.networks.dense import Dense
from groklab.networks.embedding_decoder import EmbeddingDecoder
from groklab.networks.hooks import activations, patch, recognise
from groklab.networks.mlp import MLP
from groklab.networks.transformer import Transformer

__all__ = ["MLP", "Dense", "EmbeddingDecoder", "Network", "Transformer", "activations", "patch", "recognise"]
