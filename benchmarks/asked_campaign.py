"""A campaign that asks people, written straight into a workspace: digits, a plan, an audit, a shortlist with hints.

For the review page's benchmark and tests: what the page reads is what a run would have left there, without Ray and
without waiting for a model. Guesses are the truth, but for every tenth.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from raylabel import __version__, schema
from raylabel.campaign import Campaign
from raylabel.config import Config
from raylabel.demo import DIGITS
from raylabel.models.arithmetic import Arithmetic
from raylabel.opening import find_campaign
from raylabel.pool import Plan, Shard
from raylabel.pool.listing import etag_of
from raylabel.pool.shards import ROWS
from raylabel.profile import Profile
from raylabel.workspace import Record, Store, open_filesystem, write_part

ROW_GROUP = 512
NUM_ANSWERED = 40
"""Items that were answered in round 0, where the campaign asks in round 1."""
GOLD_OF_ANN = {"num_answers": 8, "num_shared": 8, "error_rate": 0.25}
"""What round 0 says of the annotator "ann" where the label is known."""


@dataclass(frozen=True)
class AskedCampaign:
    """A campaign with an open shortlist.

    Args:
        toml: its config.
        truth: the class of each row.
        number: the round that asks.
        audit: rows of the audit sample.
    """

    toml: Path
    campaign: Campaign
    truth: NDArray[np.int64]
    number: int
    audit: NDArray[np.int64]


def digits(count: int) -> tuple[list[bytes], NDArray[np.int64]]:
    """So many PNGs of handwritten digits, 32 pixels a side, the same ones again and again; and their classes."""
    found = load_digits()
    images = []
    for pixels in found.images[:count]:
        sink = io.BytesIO()
        Image.fromarray((pixels * 15.9).astype(np.uint8)).resize((32, 32)).save(sink, "PNG")
        images.append(sink.getvalue())
    order = np.arange(count) % len(images)
    return [images[place] for place in order], found.target[order].astype(np.int64)


def write_campaign(
    place: Path,
    *,
    num_train: int,
    num_audit: int,
    num_gold: int = 0,
    has_model: bool = True,
    classes: tuple[str, ...] = DIGITS,
    images: dict[int, bytes] | None = None,
    **labeling: Any,
) -> AskedCampaign:
    """Write a pool, a workspace and a TOML below a folder.

    Args:
        place: the folder.
        num_train: items that a strategy picked.
        num_audit: audit items among them.
        num_gold: gold items among them: the last rows of the pool.
        has_model: round 1 asks, with guesses and neighbours; else round 0, with clusters.
        classes: at least 10.
        images: bytes of rows that are no digit.
        labeling: settings of that section; `workspace`, and `pool`, an s3:// prefix that the pool is copied to.
    """
    first = NUM_ANSWERED if has_model else 0
    count = first + num_train + num_audit + num_gold
    data, truth = digits(count)
    for row, other in (images or {}).items():
        data[row] = other
    workspace = labeling.pop("workspace", str(place / "workspace"))
    pool = _copied(_write_pool(place / "pool", data), labeling.pop("pool", ""))
    tree: dict[str, Any] = {
        "workspace": workspace,
        "classes": classes,
        "pool": {"path": pool},
        "backbone": {"name": "tiny_cnn", "weights": "none", "image_size": 16},
        "budget": {"train_answers": max(2 * num_train, 4), "audit_answers": num_audit, "rounds": 3},
        "sampling": {"max_candidates": 2 * num_train + 4},
        "labeling": {"poll_s": 0.2, **({"gold": str(place / "gold.csv")} if num_gold else {}), **labeling},
        "acceptance": {"max_error": 0.5},
    }
    config = Config.model_validate(tree)
    campaign = _begin(config)
    _commit_plan(campaign, pool, count)
    audit = np.arange(first, first + num_audit, dtype=np.int64)
    columns = {
        "row": audit,
        "id": [f"item-{row:06d}" for row in audit],
        "stratum": ["pool"] * num_audit,
        "inclusion_probability": np.full(num_audit, num_audit / count),
        "draw": np.zeros(num_audit, np.int32),
        "seed": np.zeros(num_audit, np.int64),
    }
    _commit(campaign, "audit/draw-0000", "audit", pa.table(columns, schema=schema.AUDIT))
    if has_model:
        _answer_round_0(campaign, truth)
    train, gold = np.split(np.arange(first + num_audit, count, dtype=np.int64), [num_train])
    if num_gold:
        known = {"row": gold, "id": [f"item-{row:06d}" for row in gold], "label_index": truth[gold].astype(np.int32)}
        _commit(campaign, "gold/known-0000", "gold", pa.table(known, schema=schema.GOLD))
    _ask(campaign, int(has_model), {"margin": train, "audit": audit, "gold": gold}, truth=truth)
    toml = place / "campaign.toml"
    toml.write_text(_toml(tree), encoding="utf-8")
    return AskedCampaign(toml, campaign, truth, int(has_model), audit)


def _write_pool(folder: Path, data: list[bytes]) -> Path:
    folder.mkdir(parents=True)
    for start in range(0, len(data), ROWS):
        held = range(start, min(start + ROWS, len(data)))
        table = pa.table({"id": [f"item-{row:06d}" for row in held], "image": [data[row] for row in held]})
        pq.write_table(table, folder / f"part-{start // ROWS:05d}.parquet", row_group_size=ROW_GROUP)
    return folder


def _copied(folder: Path, target: str) -> str:
    """The pool where it is to lie."""
    if not target:
        return str(folder)
    filesystem, path = open_filesystem(target)
    for file in folder.iterdir():
        filesystem.put_file(str(file), f"{path}/{file.name}")
    return target


def _begin(config: Config) -> Campaign:
    profile = Profile(Arithmetic("cpu", "float32", fused=False, compiled=False, batch_size=32, threads=1), 1, "", {})
    mine = {
        "raylabel": __version__,
        "config": config.model_dump(mode="json"),
        "profile": asdict(profile),
        "measured": None,
    }
    Store(config.workspace).create("campaign.json", json.dumps(mine).encode())
    return find_campaign(config)


def _commit(campaign: Campaign, name: str, table: str, rows: pa.Table, **facts: Any) -> None:
    part = write_part(campaign.store, name, rows)
    campaign.records.commit(name, Record(facts=facts, parts={table: [part]}))


def _commit_plan(campaign: Campaign, folder: str, count: int) -> None:
    shards = []
    for index, start in enumerate(range(0, count, ROWS)):
        name, rows = f"part-{index:05d}.parquet", min(ROWS, count - start)
        filesystem, path = open_filesystem(f"{folder}/{name}")
        groups = (0, -(-rows // ROW_GROUP))
        shards.append(Shard(index, name, start, rows, etag_of(filesystem.info(path)), groups))
    plan = Plan(folder, "parquet", "id", tuple(shards))
    campaign.records.commit("pool/plan-0000", Record(facts=plan.to_json()))


def _answer_round_0(campaign: Campaign, truth: NDArray[np.int64]) -> None:
    """Round 0 is done: its answers, as resolved, and the point that it adds to the curve."""
    rows = np.arange(NUM_ANSWERED)
    columns = {
        "row": rows,
        "id": [f"item-{row:06d}" for row in rows],
        "purpose": ["train"] * NUM_ANSWERED,
        "label_index": truth[rows].astype(np.int32),
        "round": np.zeros(NUM_ANSWERED, np.int32),
    }
    facts = {"answers": [], "annotators": {"training": {}, "audit": {}, "gold": {"ann": GOLD_OF_ANN}}}
    _commit(campaign, "rounds/0000/answered", "resolved", pa.table(columns, schema=schema.RESOLVED), **facts)
    point = {"round": 0, "num_answers": NUM_ANSWERED, "cross_fitted_accuracy": 0.75, "num_auto": 0}
    campaign.records.commit("rounds/0000/round", Record(facts=point))


def _ask(
    campaign: Campaign,
    number: int,
    asked_for: dict[str, NDArray[np.int64]],
    *,
    truth: NDArray[np.int64],
) -> None:
    train = asked_for["margin"]
    rows = np.concatenate(list(asked_for.values()))
    strategy = np.repeat(list(asked_for), [len(each) for each in asked_for.values()])
    order = np.random.default_rng(0).permutation(len(rows))
    rows, strategy = rows[order], strategy[order]
    columns = {
        "row": rows,
        "id": [f"item-{row:06d}" for row in rows],
        "position": np.arange(len(rows), dtype=np.int32),
        "strategy": strategy.tolist(),
        "score": np.zeros(len(rows), np.float32),
        "reason": ["a secret reason"] * len(rows),
    }
    shortlist = write_part(campaign.store, f"rounds/{number:04d}/shortlist", pa.table(columns, schema=schema.SHORTLIST))
    guess = np.where(train % 10 == 9, (truth[train] + 1) % 10, truth[train]).astype(np.int32)
    other = (guess + 3) % 10
    hints = {
        "row": train,
        "group": guess if number else (truth[train] // 2).astype(np.int32),
        "top_index": np.stack([guess, other], axis=1).tolist() if number else [[]] * len(train),
        "top_probability": [[0.8, 0.1]] * len(train) if number else [[]] * len(train),
        "neighbours": [np.flatnonzero(truth[:NUM_ANSWERED] == label)[:3].tolist() if number else [] for label in guess],
    }
    hinted = write_part(campaign.store, f"rounds/{number:04d}/hints", pa.table(hints, schema=schema.HINTS))
    record = Record(parts={"shortlist": [shortlist], "hints": [hinted]})
    campaign.records.commit(f"rounds/{number:04d}/shortlist", record)


def _toml(tree: dict[str, Any]) -> str:
    def settings(found: dict[str, Any]) -> list[str]:
        return [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in found.items()]

    sections = {name: value for name, value in tree.items() if isinstance(value, dict)}
    lines = settings({name: value for name, value in tree.items() if name not in sections})
    for name, section in sections.items():
        lines += [f"[{name}]", *settings(section)]
    return "\n".join(lines) + "\n"
