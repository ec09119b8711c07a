"""Join what several annotators say of an item into one label, as the campaign's consensus does it.

Knows tables of answers; the consensus itself is `acceptance`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raylabel.acceptance import Votes, dawid_skene, majority
from raylabel.campaign import Campaign, folder
from raylabel.labeling.answers import GOLD, SECOND_LOOK, collect, index_of, latest_of, resolved_before
from raylabel.labeling.gold import find_gold, judge_gold

METHODS: Final = {"majority": majority, "dawid_skene": dawid_skene}


@dataclass(frozen=True)
class Joined:
    """What annotators say together.

    Args:
        labels: the label index of each item that has an answer, -1 where nobody could tell.
        annotators: for each annotator num_answers (labels given), num_shared (of them on items that others answered
            too) and error_rate (the expected share of wrong ones among those; None where there are none).
    """

    labels: dict[str, int]
    annotators: dict[str, dict[str, Any]]


def join(answers: pa.Table, classes: Sequence[str], *, method: str = "majority") -> Joined:
    """Join answers into one label for each item.

    An annotator's latest answer counts, a retracted one does not. Nothing but skips and "cannot tell" is -1: nobody
    could tell; so is what the method leaves open.

    Raises:
        AnswersError: a label that is no class.
    """
    index = {name: position for position, name in enumerate(classes)}
    kept = {place: row for place, row in latest_of(answers).items() if row["kind"] != "retract"}
    said = {place: row for place, row in kept.items() if row["kind"] == "label"}
    items = {name: position for position, name in enumerate(sorted({name for name, _ in kept}))}
    people = {name: position for position, name in enumerate(sorted({who for _, who in said}))}
    triples = [
        (items[name], people[who], index_of(row["label"], index, where=f"the answer for {name}"))
        for (name, who), row in said.items()
    ]
    columns = np.array(triples, dtype=np.int64).reshape(-1, 3).T
    found = METHODS[method](Votes(columns[0], columns[1], columns[2], len(items), len(people), len(classes)))
    num_answers = np.bincount(columns[1], minlength=len(people))
    annotators = {
        who: {
            "num_answers": int(num_answers[position]),
            "num_shared": int(found.num_shared[position]),
            "error_rate": None if math.isnan(found.error_rate[position]) else float(found.error_rate[position]),
        }
        for who, position in people.items()
    }
    return Joined({name: int(found.label_index[position]) for name, position in items.items()}, annotators)


def join_round(
    campaign: Campaign, number: int, said: pa.Table, purposes: Mapping[str, str]
) -> tuple[dict[str, int], dict[str, dict[str, dict[str, Any]]]]:
    """Resolve the items of a round, all of which are answered; gold items measure who answered, and get no label.

    The answers of all rounds so far tell how far each annotator is to be trusted: training answers for training items,
    audit answers for audit items, so that neither knows of the other. Where a second look leaves annotators in a tie,
    those who looked again decide.

    Args:
        campaign: its `labeling.consensus` is the method.
        number: the round.
        said: its answers.
        purposes: of its items, by id.

    Returns:
        The label index of each item, -1 where nobody could tell; and the annotators, as in `Joined`, by what they were
        judged on: "training", "audit", and "gold", where the label is known.

    Raises:
        AnswersError: a label that is no class.
    """
    classes, method = campaign.config.classes, campaign.config.labeling.consensus
    earlier = [collect(campaign, before, _counted(campaign, before)) for before in range(number)]
    everything = pa.concat_tables([*earlier, said])
    is_gold = pc.equal(everything.column("purpose"), GOLD)
    gold = judge_gold(everything.filter(is_gold), find_gold(campaign), classes)
    everything = everything.filter(pc.invert(is_gold))
    said = said.filter(pc.not_equal(said.column("purpose"), GOLD))
    before = resolved_before(campaign, number)
    audited = set(before.filter(pc.equal(before.column("purpose"), "audit")).column("id").to_pylist())
    audited |= {name for name, purpose in purposes.items() if purpose == "audit"}
    is_audit = pc.is_in(everything.column("id"), value_set=pa.array(sorted(audited), pa.string()))
    audit = join(everything.filter(is_audit), classes, method=method)
    training = join(everything.filter(pc.invert(is_audit)), classes, method=method)
    # Of these alone, too, audit answers stay out: they would weigh the annotators.
    asked = said.filter(pc.invert(pc.is_in(said.column("id"), value_set=pa.array(sorted(audited), pa.string()))))
    again = join(asked, classes, method=method).labels if SECOND_LOOK in purposes.values() else {}
    labels = {}
    for name, purpose in purposes.items():
        if purpose == GOLD:
            continue
        label = (audit if purpose == "audit" else training).labels[name]
        labels[name] = again[name] if label < 0 and purpose == SECOND_LOOK else label
    return labels, {"training": training.annotators, "audit": audit.annotators, "gold": gold}


def _counted(campaign: Campaign, number: int) -> list[str]:
    """The records of the answers that a round went on with: later ones change nothing."""
    record = campaign.records.require(f"{folder(number)}/answered", missing=f"round {number} is not answered yet")
    return list(record.facts["answers"])
