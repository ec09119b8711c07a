"""Choose who to ask: a shortlist every round.

A pass over the pool narrows it to a bounded candidate set; the exact strategy then runs on that, in one task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raylabel import runtime, schema
from raylabel.campaign import Campaign, Pieces, Rows, folder, training_answers
from raylabel.check import strategy_of
from raylabel.errors import ConfigError
from raylabel.labeling.answers import GOLD, SECOND_LOOK, resolved_before
from raylabel.labeling.auditing import readable
from raylabel.labeling.gold import find_gold, gold_of_round
from raylabel.labeling.hints import hints_of
from raylabel.labeling.narrowing import COLUMNS, Indexed, narrow
from raylabel.labeling.second_look import second_looks
from raylabel.models.heads import Head, fit_members
from raylabel.progress import say
from raylabel.sampling import Candidates, Labeled, Round, find, first_of_each, near_duplicates, resolve, wanted
from raylabel.sampling import select as pick
from raylabel.workspace import Part, Record, write_part
from raylabel.workspace.vectors import embeddings_of, gather_rows

MEMBERS = 8
"""Heads of the ensemble that "bald" wants."""

_DOUBTED = "the model doubts the answer"


@dataclass(frozen=True)
class Model:
    """What a round learned, as the next one's selection sees it.

    Args:
        head: name of its file below the workspace.
        penalty: that its head was fitted with.
        predictions: of the whole readable pool.
    """

    head: str
    penalty: float
    predictions: Pieces


def select(
    campaign: Campaign, number: int, indexed: Record, *, pieces: Pieces, audit: Rows, model: Model | None
) -> Record:
    """Choose the items that a round asks people about, and publish them; once.

    Args:
        campaign: whose pool.
        number: the round.
        indexed: the record of the index of these embeddings.
        pieces: embeddings of the readable pool.
        audit: rows of the audit sample: never picked; those without an answer are asked beside the round's items.
        model: of the round before; None in round 0, and while all answers name one class: the cold start picks then.

    Returns:
        The record of the shortlist: parts "shortlist" and, where people are asked, "hints"; facts strategy (what "auto"
        chose), num_train, num_audit, num_second_looks and num_gold.
    """
    return campaign.records.once(
        f"{folder(number)}/shortlist",
        lambda: _select(campaign, number, indexed, pieces=pieces, audit=audit, model=model),
    )


def _select(
    campaign: Campaign, number: int, indexed: Record, *, pieces: Pieces, audit: Rows, model: Model | None
) -> Record:
    config = campaign.config
    size = config.round_sizes()[number]
    answered = resolved_before(campaign, number)
    named, note = _named(campaign, number, answered, has_model=model is not None)
    known = find_gold(campaign).column("row").to_numpy()
    barred = np.unique(np.concatenate([audit, answered.column("row").to_numpy(), known]))
    history = _history(campaign, number)
    choice = resolve(
        named,
        training_answers(answered).column("label_index").to_numpy(),
        num_classes=len(config.classes),
        history=history,
        has_model=model is not None,
    )
    statistic = find(choice.strategy).narrow
    passed = model.predictions if model and statistic in COLUMNS else pieces
    cells = _cells(campaign, indexed, pieces, answered, strategy=choice.strategy, size=size)
    candidates = narrow(campaign, number, passed, statistic=statistic, barred=barred, indexed=cells)
    if len(candidates) == 0:
        raise ConfigError(
            f"budget.train_answers: round {number} wants {size} more items to ask about, but every readable item of "
            f"{config.pool.path} is answered, audited or gold; ask for fewer"
        )
    size = min(size, len(candidates))
    work = _Pick(campaign, number, named, pieces, model, (history, note))
    picked, hints = runtime.call(work, candidates, answered, size)
    # All of it in round 0; later what a pool has grown by, and what could not be read before.
    due = readable(campaign, pieces, np.setdiff1d(audit, answered.column("row").to_numpy()))
    doubted = second_looks(campaign, number)
    gold = gold_of_round(campaign, number, pieces, num_others=size + due.num_rows + doubted.num_rows)
    if number == 0 or due.num_rows or doubted.num_rows or gold.num_rows:
        again = _shortlist(doubted, SECOND_LOOK, doubted.column("score").to_numpy(), [_DOUBTED] * doubted.num_rows)
        picked = _mixed(campaign, number, [picked, _audited(due), again, _plain(gold, GOLD, "its label is known")])
    by = f"{choice.strategy} ({choice.why})" if choice.why else choice.strategy
    beside = f", and {doubted.num_rows} that the model doubts again" if doubted.num_rows else ""
    say(f"round {number} · select: {size} of {len(candidates):,} candidates by {by}{beside}")
    parts = {"shortlist": [write_part(campaign.store, f"{folder(number)}/shortlist", picked)]}
    if config.labeling.labeler != "oracle":
        parts["hints"] = [write_part(campaign.store, f"{folder(number)}/hints", hints)]
    facts = {"strategy": choice.strategy, "num_train": size, "num_audit": due.num_rows}
    facts |= {"num_second_looks": doubted.num_rows, "num_gold": gold.num_rows}
    return Record(facts=facts, parts=parts)


def _named(campaign: Campaign, number: int, answered: pa.Table, *, has_model: bool) -> tuple[str, str]:
    """The strategy by its name, and what its reasons end with where the cold start takes its place."""
    cold = campaign.config.sampling.cold_start
    if not has_model:
        return cold, "; cold start again: all training answers name one class" if number else ""
    named = strategy_of(campaign.config)
    if named.startswith("rare:"):
        wanted_index = int(named.removeprefix("rare:"))
        if wanted_index not in training_answers(answered).column("label_index").to_pylist():
            name = campaign.config.classes[wanted_index]
            return cold, f"; cold start again: no training answer names {name!r} yet"
    return named, ""


def _history(campaign: Campaign, number: int) -> tuple[Round, ...]:
    """How the rounds before went, from training answers and heads that were held out from them."""
    history = []
    for before in range(number):
        chosen = campaign.records.find(f"{folder(before)}/shortlist")
        head = campaign.records.find(f"{folder(before)}/model")
        if chosen and head:
            facts = head.facts
            history.append(Round(chosen.facts["strategy"], facts["num_answers"], facts["accuracy"]))
    return tuple(history)


def _cells(
    campaign: Campaign, indexed: Record, pieces: Pieces, answered: pa.Table, *, strategy: str, size: int
) -> Indexed:
    """What narrowing by the cells of the index reads beside it."""
    known = training_answers(answered)
    covered = known.column("row").to_numpy()
    if find(strategy).narrow != "neighbours" or not indexed.facts["num_cells"]:
        return Indexed(indexed.facts, covered, size)
    label_index = known.column("label_index").to_numpy()
    rows = covered[label_index == wanted(strategy, label_index)]
    return Indexed(indexed.facts, covered, size, runtime.call(_embeddings, campaign, pieces.holding(rows)))


def _embeddings(campaign: Campaign, holding: list[tuple[Part, Rows]]) -> NDArray[np.float32]:
    """(n, dim) embeddings of some rows, in a task."""
    table = gather_rows(campaign.store, holding)
    assert table is not None, "rows are asked for"
    return embeddings_of(table).astype(np.float32)


@dataclass(frozen=True)
class _Pick:
    """Run the exact strategy on the candidates, in one task.

    Memory: max_candidates * (4 * dim + 8 * classes) bytes, 8 times 4 * classes more for an ensemble, and what the
    strategy needs.
    """

    campaign: Campaign
    number: int
    named: str
    pieces: Pieces
    model: Model | None
    before: tuple[tuple[Round, ...], str] = ((), "")
    """How the rounds before went, and what every reason ends with."""

    def __call__(self, candidates: Rows, answered: pa.Table, size: int) -> tuple[pa.Table, pa.Table]:
        store = self.campaign.store
        # Ties break by the lower position, so positions must follow ids.
        table = gather_rows(store, self.pieces.holding(candidates))
        assert table is not None, "candidates come from these pieces"
        table = table.sort_by("id")
        labeled, rows = self._labeled(answered, embeddings_of(table).shape[1])
        table = self._once_each(table, labeled, size)
        embeddings = embeddings_of(table)
        seen = Candidates(embeddings.astype(np.float32), **self._asked(embeddings, labeled))
        picks = pick(self.named, seen, labeled, size=size, rng=self.campaign.rng("select", self.number))
        chosen = table.select(["row", "id"]).take(pa.array(picks.positions))
        hints = hints_of(
            chosen.column("row").to_numpy(),
            embeddings[picks.positions],
            head=Head.from_bytes(store.read(self.model.head)) if self.model else None,
            answered=rows,
            answered_embeddings=labeled.embeddings,
            rng=self.campaign.rng("hints", self.number),
        )
        reasons = [reason + self.before[1] for reason in picks.reasons]
        return _shortlist(chosen, self.named, picks.scores, reasons), hints

    def _once_each(self, table: pa.Table, labeled: Labeled, size: int) -> pa.Table:
        """One of each group of near-duplicates, none of an answered group; all, where that would be too few to ask."""
        threshold = self.campaign.config.sampling.near_duplicate
        groups = near_duplicates(
            embeddings_of(table).astype(np.float32), threshold=threshold, covered=labeled.embeddings
        )
        kept = first_of_each(np.arange(len(groups)), groups)
        return table.take(pa.array(kept)) if len(kept) >= size else table

    def _asked(self, embeddings: NDArray[np.float16], labeled: Labeled) -> dict[str, Any]:
        """What the model says of the candidates, as far as the strategy asks for it."""
        if self.model is None:
            return {}
        head = Head.from_bytes(self.campaign.store.read(self.model.head))
        found: dict[str, Any] = {
            "probabilities": head.probabilities(embeddings).astype(np.float32),
            "head": head.probabilities,
        }
        if "members" in find(self.named).needs:
            members = fit_members(
                labeled.embeddings,
                labeled.label_index,
                num_classes=len(self.campaign.config.classes),
                penalty=self.model.penalty,
                temperature=head.temperature,
                num_members=MEMBERS,
                rng=self.campaign.rng("members", self.number),
            )
            found["members"] = np.stack([member.probabilities(embeddings).astype(np.float32) for member in members])
        return found

    def _labeled(self, answered: pa.Table, dim: int) -> tuple[Labeled, Rows]:
        """The training answers as strategies see them, and their rows."""
        known = training_answers(answered)
        table = gather_rows(self.campaign.store, self.pieces.holding(known.column("row").to_numpy()))
        if table is None:
            nothing = Labeled(np.empty((0, dim), dtype=np.float32), np.empty(0, dtype=np.int32), self.before[0])
            return nothing, np.empty(0, dtype=np.int64)
        label_of = dict(zip(known.column("row").to_pylist(), known.column("label_index").to_pylist(), strict=True))
        labels = np.array([label_of[row] for row in table.column("row").to_pylist()], dtype=np.int32)
        found = Labeled(embeddings_of(table).astype(np.float32), labels, self.before[0])
        return found, table.column("row").to_numpy()


def _shortlist(items: pa.Table, strategy: str, scores: NDArray[np.float32], reasons: list[str]) -> pa.Table:
    columns = {
        "row": items.column("row"),
        "id": items.column("id"),
        "position": np.arange(items.num_rows, dtype=np.int32),
        "strategy": [strategy] * items.num_rows,
        "score": scores,
        "reason": reasons,
    }
    return pa.table(columns, schema=schema.SHORTLIST)


def audit_questions(campaign: Campaign, number: int, drawn: pa.Table) -> Record:
    """A shortlist of nothing but audit items, in a random order.

    Args:
        campaign: its seed decides the order.
        number: that the shortlist goes by.
        drawn: row and id of the items.
    """
    items = _mixed(campaign, number, [_audited(drawn)])
    part = write_part(campaign.store, f"{folder(number)}/shortlist", items)
    facts = {"strategy": "audit", "num_train": 0, "num_audit": items.num_rows, "num_second_looks": 0, "num_gold": 0}
    return Record(facts=facts, parts={"shortlist": [part]})


def _audited(items: pa.Table) -> pa.Table:
    return _plain(items, "audit", "drawn at random over the pool")


def _plain(items: pa.Table, strategy: str, reason: str) -> pa.Table:
    """Items that no strategy ranked."""
    count = items.num_rows
    return _shortlist(items, strategy, np.zeros(count, dtype=np.float32), [reason] * count)


def _mixed(campaign: Campaign, number: int, groups: list[pa.Table]) -> pa.Table:
    """Items of several kinds in a random order: nobody can tell one by its place."""
    every = pa.concat_tables(groups)
    mixed = every.take(pa.array(campaign.rng("shortlist", number).permutation(every.num_rows)))
    where = mixed.schema.get_field_index("position")
    return mixed.set_column(where, "position", pa.array(np.arange(mixed.num_rows, dtype=np.int32)))
