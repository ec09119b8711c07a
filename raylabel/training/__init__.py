"""Fit the model on the answers: a head in a kept actor, or the whole backbone with Ray Train."""

from raylabel.training.finetune import finetune
from raylabel.training.head import HeadTrainer, train

__all__ = ["HeadTrainer", "finetune", "train"]
