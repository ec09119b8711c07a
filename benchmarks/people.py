"""People and weak labels: consensus of annotators, errors among their answers, and labeling functions.

CIFAR-10N: three real people's answers for each of CIFAR-10's training images, and the truth. Consensus stands beside
the majority and crowd-kit's models; label errors, by a head cross-fitted on frozen EfficientNet-B4 features, beside
cleanlab's rankings. The label model joins sixteen weak functions, small heads of a few images each and detectors of one
class each, beside the majority of the functions.

The ranking's choices (neighbours, their weight, the product) were made on half of 20,000 images; what is reported here
is of other images.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from crowdkit.aggregation import DawidSkene, MajorityVote
from features import Features, features
from numpy.typing import NDArray
from record import Outcome, arguments, finish, real_data
from sklearn.metrics import average_precision_score
from sklearn.model_selection import KFold

from raylabel.acceptance import (
    ABSTAIN,
    VoteCounts,
    Votes,
    dawid_skene,
    find_label_errors,
    fit_label_model,
    majority,
)
from raylabel.models.heads import fit_once

PENALTY, NUM_FOLDS = 3.0, 5
CHOSEN_ON, IMAGES, QUICK_IMAGES = 20_000, 6_000, 1_000
ANSWERS = {"one person's": "random_label1", "another's": "random_label2", "the aggregate": "aggre_label"}
RANKINGS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
NUM_HEADS, HEAD_IMAGES, HEAD_DIMS, NUM_KNOWN = 6, 60, 64, 200


def answers(place: Path) -> tuple[pd.DataFrame, Features]:
    """CIFAR-10N's answers in the order of the features' training rows, as class indices; and the features."""
    found = features("cifar10", place)
    parts = sorted((real_data() / "cifar10").glob("part-*.parquet"))
    paths = pa.concat_tables([pq.read_table(part, columns=["path"]) for part in parts]).column("path").to_numpy()
    table = pq.read_table(real_data() / "cifar10n_train_votes.parquet").to_pandas().set_index("path")
    table = table.loc[paths[~found.is_test]]
    index = {name: position for position, name in enumerate(found.classes)}
    for column in ("label", "random_label1", "random_label2", "random_label3", "aggre_label"):
        table[column] = table[column].map(index)
    return table, found


def consensus(table: pd.DataFrame, outcome: Outcome) -> None:
    """Add a row for each way to join three answers; a way that leaves a tie open is given a random one of the tied."""
    truth, num = table["label"].to_numpy(), len(table)
    item = np.repeat(np.arange(num), 3)
    label = table[[f"random_label{each}" for each in (1, 2, 3)]].to_numpy().ravel()
    worker = table[[f"worker{each}_id" for each in (1, 2, 3)]].to_numpy().ravel()
    names, people = np.unique(worker.astype(str), return_inverse=True)
    votes = Votes(item, people, label, num, len(names), 10)
    rng, figures = np.random.default_rng(0), {}
    for name, join in (("majority", majority), ("dawid_skene", dawid_skene)):
        start = time.perf_counter()
        found = join(votes)
        spent, shown = time.perf_counter() - start, found.probabilities + 1e-9 * rng.random(found.probabilities.shape)
        figures[name] = float((shown.argmax(axis=1) == truth).mean())
        resolved = float((found.label_index == truth).mean())
        said = f"{figures[name]:.2%} ({resolved:.2%} where what is left open is wrong), {spent:.1f} s"
        outcome.rows.append(("consensus: right", f"raylabel, {name}", said))
    frame = pd.DataFrame({"task": item, "worker": people, "label": label})
    for peer in (MajorityVote(), DawidSkene(n_iter=100)):
        start = time.perf_counter()
        said = peer.fit_predict(frame).reindex(range(num)).to_numpy()
        right = float((said == truth).mean())
        outcome.peers[f"crowd-kit {type(peer).__name__}"] = round(right, 4)
        spent = time.perf_counter() - start
        outcome.rows.append(("consensus: right", f"crowd-kit, {type(peer).__name__}", f"{right:.2%}, {spent:.1f} s"))
    outcome.ratios |= {f"consensus {name}": round(value, 4) for name, value in figures.items()}
    outcome.limits["consensus at least"] = round(figures["majority"], 4)


def label_errors(table: pd.DataFrame, found: Features, outcome: Outcome, *, images: int) -> None:
    """Add a row for each ranking of each set of answers."""
    chosen_on = np.random.default_rng(0).choice(len(table), CHOSEN_ON, replace=False)
    others = np.setdiff1d(np.arange(len(table)), chosen_on)
    rows = np.sort(np.random.default_rng(1).choice(others, images, replace=False))
    embeddings, truth = found.embeddings[~found.is_test][rows], table["label"].to_numpy()[rows]
    for whose, column in ANSWERS.items():
        label = table[column].to_numpy()[rows].astype(np.int32)
        wrong = label != truth
        said = np.zeros((images, 10))
        for inside, outside in KFold(NUM_FOLDS, shuffle=True, random_state=0).split(label):
            head = fit_once(embeddings[inside], label[inside], num_classes=10, penalty=PENALTY)
            said[outside] = head.probabilities(embeddings[outside])
        ours = find_label_errors(said, label, embeddings=embeddings)
        alone = find_label_errors(said, label)
        scores = {"raylabel": ours.score, "raylabel without neighbours": alone.score}
        scores |= {f"cleanlab {name}": -get_label_quality_scores(label, said, method=name) for name in RANKINGS}
        precision = {name: float(average_precision_score(wrong, score)) for name, score in scores.items()}
        flags = {"raylabel": ours.is_error, "cleanlab self_confidence": find_label_issues(label, said)}
        for name, value in precision.items():
            more = f"; found {_flagged(flags[name], wrong)}" if name in flags else ""
            outcome.rows.append((f"errors in {whose} answers ({wrong.mean():.1%})", name, f"{value:.4f}{more}"))
        best = max(value for name, value in precision.items() if name.startswith("cleanlab"))
        outcome.ratios[f"errors in {whose} answers"] = round(precision["raylabel"], 4)
        outcome.peers[f"best of cleanlab, {whose} answers"] = round(best, 4)


def _flagged(flag: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> str:
    return f"{wrong[flag].mean():.1%} right, {flag[wrong].mean():.1%} of all"


def weak(found: Features, outcome: Outcome) -> None:
    """Join weak functions on the test images, of which none has seen any."""
    rng, truth = np.random.default_rng(0), found.label_index[found.is_test]
    votes = _functions(found, rng)
    spoken = (votes != ABSTAIN).any(axis=1)
    counts = VoteCounts.of(votes)
    named = np.stack([(votes == label).sum(axis=1) for label in range(10)], axis=1)
    known = rng.choice(len(truth), NUM_KNOWN, replace=False)
    shares = (named + 0.1) / (named + 0.1).sum(axis=1, keepdims=True)
    start = time.perf_counter()
    model = fit_label_model(counts, num_classes=10)
    spent = time.perf_counter() - start
    judged = fit_label_model(counts, num_classes=10, known=(votes[known], truth[known]))
    kinds = {
        "majority of functions": shares + 1e-9 * rng.random(shares.shape),
        "label model": model.probabilities(votes),
        f"label model, {NUM_KNOWN} answers known": judged.probabilities(votes),
    }
    spoken[known] = False
    for name, said in kinds.items():
        right = float((said.argmax(axis=1) == truth)[spoken].mean())
        loss = float(-np.log(np.maximum(said[np.arange(len(truth)), truth], 1e-9))[spoken].mean())
        outcome.rows.append(("weak labels: right", name, f"{right:.2%}, log loss {loss:.3f}"))
        outcome.ratios[f"weak {name}"] = round(right, 4)
    actual = np.array([(votes[:, f] == truth)[votes[:, f] != ABSTAIN].mean() for f in range(votes.shape[1])])
    off, off_known = np.abs(model.accuracy - actual).mean(), np.abs(judged.accuracy - actual).mean()
    outcome.notes.append(
        f"{votes.shape[1]} functions, {actual.min():.0%} to {actual.max():.0%} right, speak of {spoken.mean():.1%} of "
        f"the images; their accuracies are off by {off:.1%} on average ({off_known:.1%} with answers); {spent:.1f} s."
    )


def _functions(found: Features, rng: np.random.Generator) -> NDArray[np.int64]:
    """(N, 16) votes for the test images: heads of few images that keep silent where unsure, and detectors."""
    train, values = np.flatnonzero(~found.is_test), found.embeddings[found.is_test]
    label = found.label_index
    votes = np.full((len(values), NUM_HEADS + 10), ABSTAIN)
    for function in range(NUM_HEADS):
        taught = rng.choice(train, HEAD_IMAGES, replace=False)
        columns = rng.choice(values.shape[1], HEAD_DIMS, replace=False)
        head = fit_once(found.embeddings[taught][:, columns], label[taught], num_classes=10, penalty=PENALTY)
        said = head.probabilities(values[:, columns])
        sure = said.max(axis=1) >= np.quantile(said.max(axis=1), rng.uniform(0.2, 0.7))
        votes[sure, function] = said.argmax(axis=1)[sure]
    for name in range(10):
        examples = found.embeddings[rng.choice(train[label[train] == name], 10, replace=False)].astype(np.float32)
        distance = ((values.astype(np.float32) - examples.mean(axis=0)) ** 2).sum(axis=1)
        near = distance <= np.quantile(distance, rng.uniform(0.03, 0.12))
        votes[near, NUM_HEADS + name] = name
    return votes


def main() -> None:
    """Measure all three, and print."""
    options = arguments(__doc__ or "")
    place = options.work or Path(tempfile.mkdtemp(prefix="raylabel-people-"))
    outcome = Outcome("people", ("what", "by", "figure"))
    table, found = answers(place)
    consensus(table.iloc[:5_000] if options.quick else table, outcome)
    label_errors(table, found, outcome, images=QUICK_IMAGES if options.quick else IMAGES)
    weak(found, outcome)
    outcome.notes.append("Errors: average precision of the ranking; a share in brackets is what is truly wrong.")
    finish(outcome, save=options.save)


if __name__ == "__main__":
    main()
