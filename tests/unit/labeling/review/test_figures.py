import pytest

from raylabel.labeling.review.figures import RECENT_S, Figures


def said(name, annotator, label="cat", kind="label", seconds=None):
    return {"id": name, "annotator": annotator, "kind": kind, "label": label, "seconds": seconds}


class Told:
    """Figures that are told of answers, and what stands of each item."""

    def __init__(self):
        self.figures, self.standing = Figures(), {}

    def hear(self, answer, *, guess=None, at=0.0):
        there = self.standing.setdefault(answer["id"], {})
        before = there.get(answer["annotator"])
        if answer["kind"] == "retract":
            del there[answer["annotator"]]
        else:
            there[answer["annotator"]] = answer
        self.figures.hear(answer, before=before, standing=there, guess=guess, at=at)

    def person(self, name, now=0.0):
        return next(p for p in self.figures.summary(now)["people"] if p["name"] == name)


def test_answers_a_minute():
    told = Told()
    for second in range(30):
        told.hear(said(f"i{second}", "ann"), at=float(second))
    assert told.person("ann", 60.0)["per_minute"] == pytest.approx(30)
    assert told.figures.summary(60.0)["per_minute"] == pytest.approx(30)
    assert told.person("ann", 29.0 + RECENT_S + 1)["per_minute"] == 0
    assert told.person("ann")["num_answers"] == 30


def test_agreement_by_hand():
    """x: cat, cat, dog; y: cat, dog. Of ann's three comparisons one agrees, of all eight two do."""
    told = Told()
    for name, who, label in (("x", "ann", "cat"), ("x", "bob", "cat"), ("x", "eve", "dog")):
        told.hear(said(name, who, label))
    told.hear(said("y", "ann", "cat"))
    told.hear(said("y", "bob", "dog"))
    told.hear(said("z", "ann"))
    told.hear(said("y", "eve", None, kind="cannot_tell"))
    assert told.person("ann")["agreement"] == pytest.approx(1 / 3)
    assert told.person("eve")["agreement"] == 0
    assert told.figures.summary(0.0)["agreement"] == pytest.approx(2 / 8)
    told.hear(said("y", "bob", "cat"))
    assert told.person("ann")["agreement"] == pytest.approx(2 / 3)
    told.hear(said("x", "eve", None, kind="retract"))
    assert told.person("ann")["agreement"] == 1
    assert told.person("eve")["agreement"] is None


def test_guesses_are_counted_where_they_were_shown_and_corrections_count_once():
    told = Told()
    told.hear(said("x", "ann", "cat", seconds=2.0), guess="cat")
    told.hear(said("y", "ann", "dog", seconds=4.0), guess="cat")
    told.hear(said("z", "ann", "dog"))
    assert (told.person("ann")["confirmed"], told.person("ann")["seconds"]) == (0.5, 3.0)
    told.hear(said("y", "ann", "cat"), guess="cat")
    assert (told.person("ann")["confirmed"], told.person("ann")["num_answers"]) == (1, 3)
    told.hear(said("x", "ann", None, kind="retract"), guess="cat")
    told.hear(said("y", "ann", None, kind="retract"), guess="cat")
    assert (told.person("ann")["confirmed"], told.person("ann")["num_answers"]) == (None, 1)


def test_who_is_here():
    told = Told()
    told.figures.seen("ann", 100.0)
    assert told.person("ann", 110.0)["is_here"]
    assert not told.person("ann", 120.0)["is_here"]
    assert told.figures.summary(0.0)["agreement"] is None
