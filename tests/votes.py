"""Made-up annotators, whose truth and errors are known."""

import numpy as np

from raylabel.acceptance.votes import Votes


def votes_of(*answers, items, annotators, classes):
    """Votes from (item, annotator, label) triples."""
    columns = np.array(answers, dtype=np.int64).reshape(-1, 3).T
    return Votes(*columns, items, annotators, classes)


def crowd(rng, accuracy, *, items, each, classes):
    """Votes of annotators who err evenly among the other classes, and the truth.

    Args:
        accuracy: of each annotator.
        each: answers for an item.
    """
    truth = rng.integers(classes, size=items)
    item = np.repeat(np.arange(items), each)
    people = np.concatenate([rng.choice(len(accuracy), each, replace=False) for _ in range(items)])
    right = rng.random(len(item)) < np.asarray(accuracy)[people]
    label = np.where(right, truth[item], (truth[item] + rng.integers(1, classes, size=len(item))) % classes)
    return Votes(item, people, label, items, len(accuracy), classes), truth
