"""FAISS over the embeddings: build an index whose ids are pool rows, and search it."""

from raylabel.index.build import build
from raylabel.index.search import open_index, search

__all__ = ["build", "open_index", "search"]
