"""Fit the model on the answers: a head in a kept actor, beside weak labels, or the whole backbone with Ray Train."""

from raylabel.training.finetune import finetune
from raylabel.training.head import HeadTrainer, train
from raylabel.training.votes import vote

__all__ = ["HeadTrainer", "finetune", "train", "vote"]
