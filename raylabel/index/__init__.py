"""FAISS over the embeddings: build an index whose ids are pool rows, let it grow, and search it."""

from raylabel.index.build import build, latest
from raylabel.index.bulk import neighbours
from raylabel.index.pool import pool_neighbours
from raylabel.index.search import open_index, search

__all__ = ["build", "latest", "neighbours", "open_index", "pool_neighbours", "search"]
