"""A round of the tiny campaign that labels: answers, predictions and a verdict by hand, and its records."""

import numpy as np
import pyarrow as pa

from raylabel import schema
from raylabel.acceptance import Certificate, Withheld
from raylabel.reporting.result import Last
from raylabel.workspace import Record, read_part, write_part

# Row by row: surer of higher rows, so that rows 40 to 59 pass a threshold of 0.7.
CONFIDENCE = np.concatenate([np.linspace(0.3, 0.6, 40), np.linspace(0.7, 1.0, 20)]).astype(np.float32)
AUDIT, TRAIN = [2, 10, 20, 45, 50, 59], [0, 41, 33]
HUMAN = AUDIT + TRAIN


def answers(tiny):
    """The truth, but nobody could tell row 20, and people call row 41 something else than the model; rows 41 and 33
    were asked in round 1.
    """
    labels = tiny.truth[HUMAN].copy()
    labels[2], labels[7] = -1, (labels[7] + 1) % 10
    found = tiny.answered(HUMAN, ["audit"] * 6 + ["train"] * 3, labels)
    rounds = [0] * 7 + [1] * 2
    return found.set_column(found.schema.get_field_index("round"), "round", pa.array(rounds, pa.int32()))


def last(tiny, certified=True, number=1):
    """A round that labels, with a certificate at 0.7 or without one."""
    predicted = tiny.truth.copy()
    predicted[[2, 45]] = (predicted[[2, 45]] + 1) % 10  # two audit items that the model gets wrong
    num_auto = len(set(range(40, 60)) - set(HUMAN))
    verdict = (
        Certificate(float(CONFIDENCE[40]), 0.2, 0.3, 0.05, "auto", "by hand", 20, 3, 1, num_auto, 59, "finite")
        if certified
        else Withheld("too few", 100, 0.3, 0.05, "auto", 6)
    )
    facts = {
        "strata": [
            {
                "verdict": "certificate" if certified else "withheld",
                "details": verdict.to_dict(),
                "classes": None,
                "num_auto": num_auto if certified else 0,
            }
        ],
        "num_auto": num_auto if certified else 0,
    }
    return Last(number, "tiny/head", tiny.predicted(number, predicted, CONFIDENCE), Record(facts=facts))


def rows_of(tiny, record):
    """The labels of a record, by id."""
    return {
        row["id"]: row for part in record.parts["labels"] for row in read_part(tiny.campaign.store, part).to_pylist()
    }


def commit_round(tiny, found, held=(), accuracy=0.75):
    """Commit a round with all that a committed round has: `held` are rows held out with confidence and right."""
    records, place = tiny.campaign.records, f"rounds/{found.number:04d}"
    records.commit("pool/plan-0000", Record(facts=tiny.plan.to_json()))
    records.commit("backbones/first", Record(facts={"digest": tiny.ref.digest, "dim": tiny.ref.dim}))
    spans = [list(span) for span in tiny.pieces.spans]
    facts = {"spans": spans, "speed": {"achieved": 30.0}}
    records.commit(f"embeddings/{tiny.ref.digest}", Record(facts, {"embeddings": tiny.pieces.parts}))
    records.commit(f"{place}/predictions", Record({"plan": 0}, {"predictions": found.predictions.parts}))
    parts = []
    if held:
        rows, confidence, correct = zip(*held, strict=True)
        table = pa.table({"row": rows, "confidence": confidence, "correct": correct}, schema=schema.HELD_OUT)
        parts = [write_part(tiny.campaign.store, f"{place}/held-out", table)]
    model = {"model": found.model, "backbone": tiny.ref.digest, "accuracy": accuracy}
    model |= {"num_answers": len(held), "num_judged": len(held)}
    records.commit(f"{place}/model", Record(model, {"held_out": parts}))
    records.commit(f"{place}/verdict", found.verdict)
    return records.commit(f"{place}/round", Record(facts={"plan": 0, "round": found.number}))
