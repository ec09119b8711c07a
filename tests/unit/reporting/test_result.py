from dataclasses import replace

import numpy as np
import pytest
from labeled import AUDIT, CONFIDENCE, HUMAN, TRAIN, answers, last, rows_of

from raylabel.acceptance import Certificate, MonotoneCalibration, Withheld
from raylabel.campaign import find_labels
from raylabel.demo import DIGITS
from raylabel.reporting.result import Last, write_labels
from raylabel.workspace import Record


def test_labels_with_a_certificate(ray_session, tiny):
    record = write_labels(tiny.campaign, last(tiny), answers(tiny))
    found = rows_of(tiny, record)
    assert sorted(found) == sorted(tiny.ids[row] for row in tiny.rows)
    sources = {row: found[tiny.ids[row]]["source"] for row in tiny.rows}
    auto = set(range(40, 60)) - set(HUMAN)
    assert {row for row in sources if sources[row] == "auto"} == auto  # 40 lies exactly on the threshold
    assert {row for row in sources if sources[row] == "human"} == set(HUMAN) - {20}
    assert dict(record.facts) == {
        "folder": "labels",
        "num_human": 8,
        "num_auto": len(auto),
        "num_undecided": 59 - 8 - len(auto),
        "num_uncovered": 0,
    }
    for row in tiny.rows:
        item = found[tiny.ids[row]]
        index = int(tiny.truth[row])
        if row in auto:
            assert (item["label"], item["label_index"]) == (DIGITS[index], index)
            assert (item["model"], item["certificate"]) == ("tiny/head", "rounds/0001/verdict")
        elif sources[row] == "human":
            index = (index + 1) % 10 if row == 41 else index
            assert (item["label"], item["label_index"]) == (DIGITS[index], index)
            assert (item["confidence"], item["model"], item["certificate"]) == (None, None, None)
        else:
            assert (item["label"], item["label_index"], item["certificate"]) == (None, None, None)
            assert item["model"] == "tiny/head"
        # The round that asked; 20 was asked in round 0, and nobody could tell.
        assert item["round"] == (0 if row in (*AUDIT, TRAIN[0]) else 1)


def test_confidence_is_calibrated_on_the_audit(ray_session, tiny):
    """Right and wrong of the six audit items by hand; monotone, so that no order changes."""
    record = write_labels(tiny.campaign, last(tiny), answers(tiny))
    found = rows_of(tiny, record)
    right = np.array([False, True, False, False, True, True])  # 2 and 45 are wrong, 20 nobody could tell
    calibration = MonotoneCalibration.fit(CONFIDENCE[AUDIT], right)
    machine = [row for row in tiny.rows if found[tiny.ids[row]]["source"] != "human"]
    calibrated = [found[tiny.ids[row]]["confidence"] for row in machine]
    assert calibrated == calibration.apply(CONFIDENCE[machine]).tolist()
    assert calibrated == sorted(calibrated)
    assert calibrated[0] == 0.0
    assert calibrated[-1] == 1.0


def test_labels_without_a_certificate(ray_session, tiny):
    record = write_labels(tiny.campaign, last(tiny, certified=False), answers(tiny))
    found = rows_of(tiny, record)
    assert (record.facts["num_human"], record.facts["num_auto"], record.facts["num_undecided"]) == (8, 0, 51)
    assert {item["source"] for item in found.values()} == {"human", "none"}
    assert all(item["certificate"] is None for item in found.values())
    assert sum(item["label"] is None for item in found.values()) == 51


def test_labels_without_an_audit(ray_session, tiny):
    """There is nothing to calibrate on: the model's own confidence stands."""
    record = write_labels(tiny.campaign, last(tiny, certified=False), tiny.answered(TRAIN))
    found = rows_of(tiny, record)
    machine = [row for row in tiny.rows if row not in TRAIN]
    assert [found[tiny.ids[row]]["confidence"] for row in machine] == CONFIDENCE[machine].tolist()


def test_labels_are_written_once(ray_session, tiny):
    first = write_labels(tiny.campaign, last(tiny), answers(tiny))
    again = write_labels(tiny.campaign, last(tiny, certified=False), answers(tiny))
    assert again.facts == first.facts
    assert rows_of(tiny, again) == rows_of(tiny, first)


def test_files_of_a_run_that_was_killed_are_swept(ray_session, tiny):
    """Whoever reads the folder as a table must not see an item twice; records and others' files stay."""
    store = tiny.campaign.store
    store.write("labels/labels-orphan.parquet", b"half")
    store.write("labels/notes.txt", b"mine")
    record = write_labels(tiny.campaign, last(tiny), answers(tiny))
    named = sorted(part.name.removeprefix("labels/") for part in record.parts["labels"])
    assert store.list("labels") == sorted([*named, "labels.json", "notes.txt"])
    assert len(rows_of(tiny, record)) == 59
    store.write("labels/labels-orphan.parquet", b"half")
    write_labels(tiny.campaign, last(tiny), answers(tiny))
    assert not store.exists("labels/labels-orphan.parquet")


def test_certificate_that_counted_otherwise_is_caught(ray_session, tiny):
    """One answer more than the certificate knew of: the numbers must not drift apart without a word."""
    more = tiny.answered([*HUMAN, 47], ["audit"] * 6 + ["train"] * 4)
    with pytest.raises(AssertionError, match="counted exactly the items that are accepted"):
        write_labels(tiny.campaign, last(tiny), more)


def test_labels_of_a_grown_pool(ray_session, tiny):
    """The old rows keep their certificate; no verdict covers the new ones: people's answers stand, the rest is open.

    They lie beside those of the first plan, which stay.
    """
    tiny.campaign.records.commit("pool/plan-0000", Record(facts={"starts": [0]}))
    before = write_labels(tiny.campaign, last(tiny, certified=False), answers(tiny))
    tiny.campaign.records.commit("pool/plan-0001", Record(facts={"starts": [0, 40]}))
    assert find_labels(tiny.campaign) is None
    grown = last(tiny, certified=False)
    whole = [row for row in range(40) if row not in (*HUMAN, tiny.broken)]
    certificate = Certificate(0.3, 0.2, 0.3, 0.05, "auto", "by hand", 39, 3, 1, len(whole), 39, "finite")
    facts = {
        "strata": [
            {
                "verdict": "certificate",
                "details": certificate.to_dict(),
                "classes": None,
                "num_auto": certificate.num_auto,
            }
        ]
    }
    grown = replace(grown, predictions=replace(grown.predictions, starts=(0, 40)), verdict=Record(facts=facts))
    record = write_labels(tiny.campaign, grown, answers(tiny))
    assert dict(record.facts) == {
        "folder": "labels-0001",
        "num_human": 8,
        "num_auto": len(whole),
        "num_undecided": 59 - 8 - len(whole),
        "num_uncovered": 20,
    }
    found = rows_of(tiny, record)
    assert {row for row in tiny.rows if found[tiny.ids[row]]["source"] == "auto"} == set(whole)
    assert {found[tiny.ids[row]]["source"] for row in range(40, 60) if row in HUMAN} == {"human"}
    assert {part.name.split("/")[0] for part in record.parts["labels"]} == {"labels-0001"}
    assert len(rows_of(tiny, before)) == 59
    assert find_labels(tiny.campaign).facts == record.facts


def test_each_stratum_has_its_own_threshold(ray_session, tiny):
    """Of the old rows those from 0.5 on, of the new ones those from 0.9 on."""
    passing = [[row for row in tiny.rows if row < 40 and CONFIDENCE[row] >= 0.5], [r for r in range(40, 60) if r >= 53]]
    assert CONFIDENCE[52] < 0.9 < CONFIDENCE[53]
    strata = []
    for threshold, rows in zip((0.5, 0.9), passing, strict=True):
        auto = len(set(rows) - set(HUMAN))
        found = Certificate(threshold, 0.2, 0.3, 0.05, "auto", "by hand", len(rows), 0, 0, auto, 39, "finite")
        strata.append(
            {"verdict": "certificate", "details": found.to_dict(), "classes": None, "num_auto": found.num_auto}
        )
    grown = last(tiny)
    grown = replace(grown, predictions=replace(grown.predictions, starts=(0, 40)), verdict=Record({"strata": strata}))
    found = rows_of(tiny, write_labels(tiny.campaign, grown, answers(tiny)))
    auto = {row for row in tiny.rows if found[tiny.ids[row]]["source"] == "auto"}
    assert auto == set(passing[0] + passing[1]) - set(HUMAN)


def test_each_class_has_its_own_threshold(ray_session, begin):
    """Labels of one class from 0.5 on, of another from 0.9 on, of no other; ids of certificates name the class."""
    tiny = begin(acceptance={"by_class": True})
    predicted = np.arange(60) % 3
    passing = {
        index: [r for r in tiny.rows if predicted[r] == index and CONFIDENCE[r] >= np.float32(least)]
        for index, least in ((0, 0.5), (1, 0.9))
    }
    withheld = Withheld("too few", 100, 0.3, 0.05, "auto", 6)
    kept = {name: {"verdict": "withheld", "details": withheld.to_dict()} for name in tiny.campaign.config.classes}
    for (index, rows), least in zip(passing.items(), (0.5, 0.9), strict=True):
        auto = len(set(rows) - set(HUMAN))
        found = Certificate(least, 0.2, 0.3, 0.05, "auto", "by hand", len(rows), 0, 0, auto, 20, "finite")
        kept[tiny.campaign.config.classes[index]] = {"verdict": "certificate", "details": found.to_dict()}
    accepted = set(passing[0] + passing[1]) - set(HUMAN)
    strata = [{"verdict": "certificate", "details": None, "classes": kept, "num_auto": len(accepted)}]
    verdict = Record({"strata": strata, "num_auto": len(accepted)})
    round_ = Last(1, "tiny/head", tiny.predicted(1, predicted, CONFIDENCE), verdict)
    found = rows_of(tiny, write_labels(tiny.campaign, round_, answers(tiny)))
    auto = {row for row in tiny.rows if found[tiny.ids[row]]["source"] == "auto"}
    assert auto == accepted and {predicted[row] for row in auto} == {0, 1}
    for row in tiny.rows:
        name = tiny.campaign.config.classes[predicted[row]]
        expected = f"rounds/0001/verdict/{name}" if row in accepted else None
        assert found[tiny.ids[row]]["certificate"] == expected
