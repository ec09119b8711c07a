import base64
import io
import json
from xml.etree.ElementTree import fromstring

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from raylabel import schema
from raylabel.errors import ConfigError, PoolError
from raylabel.labeling import label_studio
from raylabel.labeling.label_studio import KEY, export_tasks, labeling_config, pull, push, shown
from raylabel.workspace import Record, read_parts, write_part

ASKED = list(range(20, 60))


@pytest.fixture
def asked(begin):
    """A round that asks about 40 items, for 30 of which there is a guess, as for what a strategy picked."""
    tiny = begin(labeling={"labeler": "files"})
    shortlist = tiny.publish(0, ASKED)
    columns = {
        "row": ASKED[:30],
        "group": [0] * 30,
        "top_index": [[row % 10, 0] for row in ASKED[:30]],
        "top_probability": [[0.75, 0.25]] * 30,
        "neighbours": [[]] * 30,
    }
    part = write_part(tiny.campaign.store, "rounds/0000/hints", pa.table(columns, schema=schema.HINTS))
    record = Record(parts={"shortlist": shortlist.parts["shortlist"], "hints": [part]})
    tiny.campaign.store.remove("rounds/0000/shortlist.json")
    tiny.campaign.records.commit("rounds/0000/shortlist", record)
    return tiny


def test_tasks_hold_the_picture_and_nothing_of_why(asked, tmp_path):
    target = tmp_path / "tasks.json"
    assert export_tasks(asked.campaign, asked.plan, target) == (0, 40)
    tasks = json.loads(target.read_text())
    assert [task["data"]["id"] for task in tasks] == [asked.ids[row] for row in ASKED]
    assert {task["data"]["round"] for task in tasks} == {0}
    assert all(set(task) <= {"data", "predictions"} and set(task["data"]) == {"image", "id", "round"} for task in tasks)
    for task, row in zip(tasks, ASKED, strict=True):
        kind, _, data = task["data"]["image"].partition(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            small = np.asarray(picture.convert("L").resize((8, 8))).ravel().astype(float)
        near = ((asked.embeddings.astype(float) - small / 255) ** 2).sum(axis=1)
        assert int(near.argmin()) == row
    assert {path.name for path in tmp_path.iterdir()} == {"tasks.json", "tasks.xml", "workspace"}


def test_only_some_of_what_a_strategy_picked_carries_a_guess(asked, tmp_path):
    """An item without one may be anything: a picked item as well as one of the audit."""
    export_tasks(asked.campaign, asked.plan, tmp_path / "a.json")
    tasks = json.loads((tmp_path / "a.json").read_text())
    guessed = {row: task["predictions"] for row, task in zip(ASKED, tasks, strict=True) if "predictions" in task}
    assert set(guessed) < set(ASKED[:30]) and 5 < len(guessed) < 25
    for row, [prediction] in guessed.items():
        [region] = prediction["result"]
        assert region["value"]["choices"] == [asked.campaign.config.classes[row % 10]]
        assert prediction["score"] == 0.75
    export_tasks(asked.campaign, asked.plan, tmp_path / "b.json")
    assert (tmp_path / "b.json").read_text() == (tmp_path / "a.json").read_text()


def test_class_names_are_escaped_and_many_are_filtered():
    names = ('<script>alert("x")</script>', "a & b", "c'd", *(f"class {number}" for number in range(20)))
    view = fromstring(labeling_config(names))
    choices = [choice.attrib for choice in view.iter("Choice")]
    assert [choice["value"] for choice in choices] == [*names, "I cannot tell"]
    assert choices[-1]["alias"] == "raylabel:cannot_tell"
    assert [choice.get("hotkey") for choice in choices[:11]] == [*"1234567890", None]
    assert len(list(view.iter("Filter"))) == 1
    assert list(fromstring(labeling_config(("a", "b"))).iter("Filter")) == []


@pytest.mark.parametrize("name", ["tasks.csv", "missing/tasks.json"])
def test_places_that_do_not_do(asked, tmp_path, name):
    with pytest.raises(ConfigError, match=name):
        export_tasks(asked.campaign, asked.plan, tmp_path / name)


def test_hints_are_not_needed(begin, tmp_path):
    tiny = begin(labeling={"labeler": "files"})
    tiny.publish(0, [5, 6])
    assert export_tasks(tiny.campaign, tiny.plan, tmp_path / "a.json") == (0, 2)
    assert "predictions" not in (tmp_path / "a.json").read_text()
    record = tiny.campaign.records.find("rounds/0000/shortlist")
    assert read_parts(tiny.campaign.store, record.parts["shortlist"], schema=schema.SHORTLIST).num_rows == 2


def test_a_foreign_labeling_config_is_not_written_over(asked, tmp_path):
    """One that says the same is; an .xml of something else stays, and no tasks are written beside it."""
    view = tmp_path / "a.xml"
    view.write_text("<annotations/>")
    with pytest.raises(ConfigError, match=r"a\.xml: is there, and is not the labeling config of this campaign"):
        export_tasks(asked.campaign, asked.plan, tmp_path / "a.json")
    assert view.read_text() == "<annotations/>" and not (tmp_path / "a.json").exists()
    view.write_text(labeling_config(asked.campaign.config.classes))
    assert export_tasks(asked.campaign, asked.plan, tmp_path / "a.json") == (0, 40)


def test_a_picture_that_is_gone_leaves_no_half_file(asked, tmp_path, monkeypatch):
    target = tmp_path / "a.json"
    target.write_text("before")
    whole = label_studio.tasks

    def torn(*args):
        found = whole(*args)
        yield next(found)
        raise PoolError("gone")

    monkeypatch.setattr(label_studio, "tasks", torn)
    with pytest.raises(PoolError, match="gone"):
        export_tasks(asked.campaign, asked.plan, target)
    assert target.read_text() == "before"
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "workspace"}


@pytest.mark.parametrize("key", ["secr\net", "secr\u00e9t", "secr\x07t"])
def test_a_key_that_no_request_can_hold_is_not_shown(asked, tmp_path, monkeypatch, key):
    monkeypatch.setenv(KEY, key)
    for ask in (lambda url: push(asked.campaign, asked.plan, url), lambda url: pull(asked.campaign, url, tmp_path)):
        with pytest.raises(ConfigError, match=f"{KEY} holds characters that no access token has") as caught:
            ask("http://eve:word@127.0.0.1:9")
        assert str(caught.value).startswith("http://127.0.0.1:9: ") and "secr" not in str(caught.value)


def test_a_key_may_end_in_a_line_end(asked, tmp_path, monkeypatch):
    monkeypatch.setenv(KEY, " \n")
    with pytest.raises(ConfigError, match=f"set {KEY} to an access token"):
        pull(asked.campaign, "http://127.0.0.1:9", tmp_path / "a.json")
    monkeypatch.setenv(KEY, "secret\r\n")
    assert label_studio._key("http://127.0.0.1:9") == "secret"


def test_urls_are_shown_without_passwords():
    for url in ("http://eve:word@host:80/a", "http://eve@host:80/a", "http://eve:w/o@rd@host:80/a", "http://host:80/a"):
        assert shown(url) == "http://host:80/a"
