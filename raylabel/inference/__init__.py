"""Embeddings and predictions: a Ray Data pipeline around the backbone, and heads on what it stored."""

from raylabel.inference.embed import embed, first_backbone
from raylabel.inference.predict import predict

__all__ = ["embed", "first_backbone", "predict"]
