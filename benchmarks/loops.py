"""Whole campaigns on a small real pool: how often the final labels break their promise, over 100 seeds of the loop.

2,000 of CIFAR-10's test images, which the backbone (ResNet-20, trained on the others) has never seen. Every campaign is
raylabel's own loop: the audit drawn, then three rounds of selecting, asking (the truth answers), training, predicting
and accepting, one look a round with its share of alpha, and the labels written. The final labels are compared with the
truth. Other promises, error rates and alphas are judged on the same rounds by the loop's own `judge`: nothing that
comes before depends on them. Beside it the naive rule, on the same audit: the lowest threshold from which on few enough
of it are wrong.

A campaign differs from the next by its seed. What does not depend on the seed, plan, backbone and embeddings, is made
once and laid into each workspace.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from certificate_rules import empirical
from numpy.typing import NDArray
from paired import holm
from record import Outcome, arguments, finish, real_data
from scipy.stats import binom

from raylabel import loop, runtime, schema
from raylabel.campaign import Campaign, Pieces, folder
from raylabel.config import Config
from raylabel.labeling.answers import resolved_before
from raylabel.labeling.drawn import find_audit
from raylabel.opening import open_campaign
from raylabel.reporting.accept import judge
from raylabel.workspace import Store, hold, read_parts

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ITEMS, FILES = 2_000, 2
ROUNDS, ANSWERS, AUDITED = 3, 150, 300
PROMISES, ERRORS, ALPHAS = ("auto", "whole"), (0.05, 0.10), (0.05, 0.10)
SEEDS, QUICK_SEEDS = 100, 2

Cell = tuple[str, float, float, str]
"""Promise, error rate, alpha, rule."""

Outcomes = dict[Cell, tuple[bool, bool, int, int]]
"""Whether the last look breaks its promise, whether any look does, and the last one's machine labels and wrong ones."""


@dataclass(frozen=True)
class Look:
    """The whole pool after one round, by row.

    Args:
        confidence: of the predicted class.
        wrong: whether that class is not the true one.
        human: whether people have answered.
        audited: whether they did so for the audit.
    """

    confidence: NDArray[np.float32]
    wrong: NDArray[np.bool_]
    human: NDArray[np.bool_]
    audited: NDArray[np.bool_]

    def labeled(self, threshold: float | None) -> tuple[int, int]:
        """Labels that a threshold gives to the machine, and the wrong ones among them."""
        if threshold is None:
            return 0, 0
        auto = ~self.human & (self.confidence >= np.float32(threshold))
        return int(auto.sum()), int((auto & self.wrong).sum())


def write_pool(place: Path) -> Path:
    """Write the pool: test images, drawn once."""
    target = place / "pool"
    if target.exists():
        return target
    columns = ["image", "path", "label", "split"]
    table = pa.concat_tables(
        pq.read_table(file, columns=columns, filters=pc.field("split") == "test")
        for file in sorted((real_data() / "cifar10").glob("part-*.parquet"))
    )
    table = table.take(np.sort(np.random.default_rng(0).choice(table.num_rows, ITEMS, replace=False)))
    target.mkdir(parents=True)
    for number, rows in enumerate(np.array_split(np.arange(ITEMS), FILES)):
        pq.write_table(table.take(rows).drop_columns("split"), target / f"part-{number}.parquet")
    return target


def settings(pool: Path, workspace: Path, *, seed: int) -> Config:
    """One campaign."""
    return Config.model_validate(
        {
            "workspace": str(workspace),
            "classes": CLASSES,
            "seed": seed,
            "pool": {"path": str(pool), "id_column": "path", "label_column": "label"},
            "backbone": {
                "name": f"{real_data() / 'weights' / 'backbones.py'}:build",
                "options": {"n": "cifar_resnet20"},
                "image_size": 32,
            },
            "budget": {"train_answers": ANSWERS, "audit_answers": AUDITED, "rounds": ROUNDS},
            "labeling": {"labeler": "oracle"},
            "acceptance": {"max_error": ERRORS[-1], "alpha": ALPHAS[-1], "flat_rounds": ROUNDS},
            "compute": {"dtype": "float32", "workers": 1},
        }
    )


def embed(config: Config) -> Campaign:
    """Plan and embed the pool, once."""
    with hold(Store(config.workspace)) as lease:
        campaign = open_campaign(config)
        loop.run(campaign, lease, until="embed")
    return campaign


def whole(config: Config, first: Campaign) -> Campaign:
    """Run one campaign to its end, on the plan, the backbone and the embeddings of the first."""
    source, target = Path(first.config.workspace), Path(config.workspace)
    with hold(Store(config.workspace)) as lease:
        campaign = open_campaign(config)
        for place in ("backbones", "embeddings"):
            shutil.copytree(source / place, target / place, ignore=_records, copy_function=_link, dirs_exist_ok=True)
        digest = _facts(first, "backbones/first")["digest"]
        for name in ("pool/plan-0000", "backbones/first", f"embeddings/{digest}"):
            campaign.records.commit(name, first.records.require(name, missing="embed it first"))
        loop.run(campaign, lease)
    return campaign


def _records(_: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(".json")]


def _link(source: str, target: str) -> None:
    if not Path(target).exists():
        os.link(source, target)


def _facts(campaign: Campaign, name: str) -> Any:
    return campaign.records.require(name, missing=f"no {name}").facts


def thresholds(campaign: Campaign, number: int, truth: dict[str, int]) -> tuple[Look, dict[Cell, float | None]]:
    """What a round knew, and each rule's threshold in it.

    Raises:
        AssertionError: the loop's own verdict is another than the one worked out here.
    """
    parts = campaign.records.require(f"{folder(number)}/predictions", missing="the loop predicts").parts["predictions"]
    table = read_parts(campaign.store, parts, schema=schema.PREDICTIONS).sort_by("row")
    rows = table.column("row").to_numpy()
    answered, audit = resolved_before(campaign, number + 1), find_audit(campaign)
    true = np.array([truth[name] for name in table.column("id").to_pylist()])
    wrong = table.column("label_index").to_numpy() != true
    human = np.isin(rows, answered.column("row").to_numpy())
    look = Look(table.column("confidence").to_numpy(), wrong, human, np.isin(rows, audit))
    spans = tuple((int(span[0]), int(span[-1])) for span in np.split(rows, np.cumsum([p.rows for p in parts])[:-1]))
    found: dict[Cell, float | None] = {}
    for promise, max_error, alpha in itertools.product(PROMISES, ERRORS, ALPHAS):
        changed = {"promise": promise, "max_error": max_error, "alpha": alpha}
        asked = campaign.config.acceptance.model_copy(update=changed)
        facts = judge(
            replace(campaign, config=campaign.config.model_copy(update={"acceptance": asked})),
            Pieces(tuple(parts), spans),
            answered,
            audit=audit,
            second=schema.AUDIT.empty_table(),
            is_last=number == ROUNDS - 1,
            fold=runtime.fold_here,
        )
        if asked == campaign.config.acceptance:
            assert facts == _facts(campaign, f"{folder(number)}/verdict"), "the loop's verdict comes out again"
        [stratum] = facts["strata"]
        certified = stratum["verdict"] == "certificate"
        found[promise, max_error, alpha, "certificate"] = stratum["details"]["threshold"] if certified else None
        seen = look.confidence[look.audited], look.wrong[look.audited]
        found[promise, max_error, alpha, "naive"] = empirical(*seen, promise=promise, max_error=max_error)
    return look, found


def final(campaign: Campaign, truth: dict[str, int]) -> tuple[int, int]:
    """Machine labels of the result, and the wrong ones among them."""
    parts = campaign.records.require("labels/labels", missing="the loop writes them").parts["labels"]
    table = read_parts(campaign.store, parts, schema=schema.LABELS)
    auto = table.filter(pc.equal(table.column("source"), "auto"))
    true = [truth[name] for name in auto.column("id").to_pylist()]
    return auto.num_rows, int((auto.column("label_index").to_numpy() != np.array(true, dtype=np.int32)).sum())


def judged(campaign: Campaign, truth: dict[str, int]) -> Outcomes:
    """What came of a campaign, in each cell."""
    looks = [thresholds(campaign, number, truth) for number in range(ROUNDS)]
    found: Outcomes = {}
    for cell in looks[0][1]:
        promise, max_error, *_ = cell
        counts = [look.labeled(of_round[cell]) for look, of_round in looks]
        broken = [wrong > max_error * (num if promise == "auto" else ITEMS) for num, wrong in counts]
        found[cell] = broken[-1], any(broken), *counts[-1]
    own = campaign.config.acceptance
    mine = (own.promise, own.max_error, own.alpha, "certificate")
    assert found[mine][2:] == final(campaign, truth), "the result is what was accepted"
    return found


def report(outcome: Outcome, loops: list[Outcomes]) -> None:
    """A row a cell, and whether any of ours breaks its promise significantly more often than alpha."""
    num, chances = len(loops), {}
    for cell in loops[0]:
        promise, max_error, alpha, rule = cell
        last, ever, auto, wrong = np.array([each[cell] for each in loops], dtype=np.float64).T
        chances[cell] = float(binom.sf(ever.sum() - 1, num, alpha))
        error = wrong.sum() / max(auto.sum(), 1)
        outcome.rows.append(
            (
                promise,
                f"{max_error:.0%}",
                f"{alpha:.0%}",
                rule,
                f"{last.sum():.0f} of {num}",
                f"{ever.sum():.0f} of {num} (p = {chances[cell]:.3g})",
                f"{(auto > 0).sum():.0f} of {num}",
                f"{auto.mean() / ITEMS:.1%}",
                f"{error:.1%}",
            )
        )
        named = f"{promise}, {max_error}, {alpha}, {rule}"
        point = {"broken": last.mean(), "broken in some look": ever.mean(), "labeled": auto.mean() / ITEMS}
        place = outcome.ratios if rule == "certificate" else outcome.peers
        place[named] = {name: round(float(value), 4) for name, value in point.items()}
    ours = [cell for cell in chances if cell[-1] == "certificate"]
    broken = int((holm([chances[cell] for cell in ours]) <= 0.05).sum())
    outcome.limits["cells broken"] = broken
    outcome.notes.append(
        f"{num} whole campaigns of {ROUNDS} rounds: {ITEMS:,} images, {ANSWERS} training and {AUDITED} audit answers,"
        f" alpha shared by the {ROUNDS} looks. Of {len(ours)} cells of ours {broken} break"
        " their promise significantly more often than alpha, any look counted (exact binomial, Holm at 5 %)."
    )


def main() -> None:
    """Run the campaigns, judge them, and print."""
    options = arguments(__doc__ or "")
    place = options.work or Path(tempfile.mkdtemp(prefix="raylabel-loops-"))
    pool = write_pool(place)
    table = pq.read_table(pool, columns=["path", "label"])
    truth = {row["path"]: CLASSES.index(row["label"]) for row in table.to_pylist()}
    loops = []
    first = settings(pool, place / "embedded", seed=0)
    with runtime.session(first.compute):
        embedded = embed(first)
        for seed in range(QUICK_SEEDS if options.quick else SEEDS):
            campaign = whole(settings(pool, place / f"loop-{seed}", seed=seed), embedded)
            loops.append(judged(campaign, truth))
    columns = (
        "promise",
        "eps",
        "alpha",
        "rule",
        "final labels break it",
        "some look breaks it",
        "labels anything",
        "labeled by machine",
        "wrong of those",
    )
    outcome = Outcome("loops", columns)
    report(outcome, loops)
    finish(outcome, save=options.save)


if __name__ == "__main__":
    main()
