import json

import pytest
from pydantic import ValidationError

from raylabel.labeling.review.messages import MOST_ITEMS, Next, Submission, item_of, screen_of
from raylabel.labeling.review.questions import Question
from raylabel.labeling.review.queue import Screen

GOOD = {
    "page": "page-0001",
    "round": 0,
    "submission": "submission-1",
    "seconds": 1.5,
    "items": [{"row": 3, "kind": "label", "label": 1}, {"row": 4, "kind": "skip"}],
}


def submission(**more):
    return Submission.model_validate_json(json.dumps({**GOOD, **more}))


def test_a_submission_says_something_of_each_item():
    assert [(said.row, said.kind, said.label) for said in submission().said(2)] == [(3, "label", 1), (4, "skip", None)]


@pytest.mark.parametrize(
    "more",
    [
        {"page": "short"},
        {"page": "<script>alert(1)</script>"},
        {"round": -1},
        {"round": "0"},
        {"seconds": -1},
        {"seconds": 1e9},
        {"items": []},
        {"items": [{"row": row, "kind": "skip"} for row in range(MOST_ITEMS + 1)]},
        {"items": [{"row": -1, "kind": "skip"}]},
        {"items": [{"row": 2**70, "kind": "skip"}]},
        {"items": [{"row": 1, "kind": "retract"}]},
        {"items": [{"row": 1, "kind": "skip", "comment": "x" * 1001}]},
        {"items": [{"row": 1, "kind": "skip", "purpose": "train"}]},
        {"annotator": "somebody else"},
    ],
)
def test_what_is_no_submission(more):
    with pytest.raises(ValidationError):
        submission(**more)


@pytest.mark.parametrize(
    "items",
    [
        [{"row": 1, "kind": "label", "label": 2}],
        [{"row": 1, "kind": "label"}],
        [{"row": 1, "kind": "skip", "label": 1}],
        [{"row": 1, "kind": "skip"}, {"row": 1, "kind": "skip"}],
    ],
)
def test_what_says_nothing(items):
    with pytest.raises(ValueError, match=r"item|twice"):
        submission(items=items).said(2)


def test_a_page_asks_for_no_more_than_a_screen():
    with pytest.raises(ValidationError):
        Next.model_validate_json(json.dumps({"page": "page-0001", "single": True, "size": MOST_ITEMS + 1}))


def test_audit_and_training_items_look_alike_on_a_bare_screen():
    audit, train = Question(1, "a", "audit"), Question(2, "b", "train")
    seen = [item_of(question) for question in (audit, train)]
    assert seen[0].keys() == seen[1].keys() == {"row", "id", "guesses", "neighbours"}
    assert all((item["guesses"], item["neighbours"]) == ([], []) for item in seen)


def test_guesses_go_to_screens_that_show_them():
    question = Question(2, "b", "train", 4, ((4, 0.5), (1, 0.25)), ((7, 4),))
    found = screen_of(Screen("group", (question,), 4), 1)
    assert (found["kind"], found["round"], found["group"]) == ("group", 1, 4)
    assert found["items"] == [{"row": 2, "id": "b", "guesses": [[4, 0.5], [1, 0.25]], "neighbours": [[7, 4]]}]
    assert "train" not in json.dumps(found)
    assert screen_of(Screen("bare", (question,)), 1)["items"][0]["guesses"] == []
