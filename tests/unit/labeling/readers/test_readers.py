import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raylabel.errors import AnswersError
from raylabel.labeling.readers import COCO, FOLDER, LABEL_STUDIO, SHEET, reader_of


def test_a_file_is_read_as_what_it_is(tmp_path):
    (tmp_path / "tasks.json").write_text('\ufeff [{"data": {}}]', encoding="utf-8")
    (tmp_path / "coco.json").write_text('{"images": []}')
    assert reader_of(tmp_path) is FOLDER
    assert reader_of(tmp_path / "tasks.json") is LABEL_STUDIO and reader_of(tmp_path / "coco.json") is COCO
    assert reader_of(tmp_path / "a.csv") is reader_of(tmp_path / "a.jsonl") is SHEET
    assert [reader_of(tmp_path / f"a.{end}").source for end in ("xml", "parquet")] == ["cvat", "huggingface"]
    with pytest.raises(AnswersError, match=r"a\.zip: expected a \.csv or \.jsonl file, a \.json of Label Studio"):
        reader_of(tmp_path / "a.zip")
    with pytest.raises(AnswersError, match=r"gone\.json: cannot be read"):
        reader_of(tmp_path / "gone.json")


def read(path):
    return list(reader_of(path).read(path))


def refused(path, match):
    with pytest.raises(AnswersError, match=match):
        read(path)


def test_image_folder(tmp_path):
    for name in ("cat/b/2.png", "cat/1.png", "big%2Fdog/3.png", "cat/.hidden", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert read(tmp_path) == [
        (1, {"file": "3.png", "label": "big/dog"}),
        (2, {"file": "1.png", "label": "cat"}),
        (3, {"file": "b/2.png", "label": "cat"}),
    ]
    (tmp_path / "stray.png").touch()
    refused(tmp_path, r"stray\.png lies in no class; expected one folder for each class")


COCO_FILE = {
    "images": [{"id": 7, "file_name": "a/x.jpg", "width": 3}, {"id": 9, "file_name": "y.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 9, "category_id": 2, "bbox": [0, 0, 3.5, 1]},
        {"id": 2, "image_id": 7, "category_id": 5},
    ],
    "categories": [{"id": 2, "name": "cat"}, {"id": 5, "name": "dog"}],
}


def test_coco(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(COCO_FILE))
    assert read(path) == [(1, {"file": "y.jpg", "label": "cat"}), (2, {"file": "a/x.jpg", "label": "dog"})]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"annotations": [{"image_id": 8, "category_id": 2}]}, "annotation 1: image_id 8 is not among the 2 there are"),
        ({"annotations": [{"image_id": 7, "category_id": 0}]}, "annotation 1: category_id 0 is not among the 2"),
        ({"annotations": [{"image_id": 7}]}, "annotation 1: expected an object with category_id"),
        ({"annotations": [3]}, "annotation 1: expected an object with image_id"),
        ({"images": [{"id": [1], "file_name": "x"}]}, "image 1: expected an object with id"),
        ({"categories": []}, "expected COCO with images, annotations and categories"),
    ],
)
def test_coco_that_is_none(tmp_path, change, match):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(COCO_FILE | change))
    refused(path, match)


def task(*annotations, **data):
    return {"id": 1, "data": {"id": "x", "round": 0, "image": "y", **data}, "annotations": list(annotations)}


def chose(*choices, number=5, **more):
    result = [{"type": "choices", "from_name": "label", "to_name": "image", "value": {"choices": list(choices)}}]
    times = {"created_at": "2026-03-01T10:00:00.5Z", "updated_at": "2026-03-01T11:00:00Z"}
    return {"id": number, "completed_by": 3, "lead_time": 2.5, "result": result, **times, **more}


SAID = {
    "id": "x",
    "round": 0,
    "annotator": "labelstudio:3",
    "answered_at": "2026-03-01T11:00:00+00:00",
    "seconds": 2.5,
    "answer_id": "labelstudio-5-2026-03-01T11:00:00+00:00",
    "comment": "",
}


def test_label_studio(tmp_path):
    comment = {"type": "textarea", "value": {"text": ["too", "dark"]}}
    skipped = chose(number=6, was_cancelled=True, completed_by={"id": 4, "email": "eve@example.org"})
    unsure = chose("raylabel:cannot_tell")
    unsure["result"].append(comment)
    path = tmp_path / "a.json"
    truth = chose("dog", ground_truth=True)
    path.write_text(json.dumps([task(chose("cat"), skipped), task(), task(unsure), task(truth)]))
    assert read(path) == [
        (1, SAID | {"label": "cat"}),
        (1, SAID | {"kind": "skip", "annotator": "labelstudio:eve@example.org"} | {"answer_id": _id(6)}),
        (2, {"id": "x", "round": 0}),
        (3, SAID | {"kind": "cannot_tell", "comment": "too dark"}),
        (4, {"id": "x", "round": 0}),
    ]


def _id(number):
    return f"labelstudio-{number}-2026-03-01T11:00:00+00:00"


@pytest.mark.parametrize(
    ("tasks", "match"),
    [
        ([task(chose("cat", "dog"))], "task 1: annotation 5 has 2 choices, expected one"),
        ([task(), task({"result": "cat"})], "task 2: expected annotations with a result"),
        ([task(), {"image": "y", "choice": "cat"}], "task 2: expected a task with data, as Label Studio's JSON export"),
        ([5], "task 1: expected a task with data"),
        ([task(chose("cat", updated_at="yesterday"))], "task 1: 'yesterday' is no time of an annotation"),
    ],
)
def test_tasks_that_are_none(tmp_path, tasks, match):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(tasks))
    refused(path, match)


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_json_that_is_cut_off_says_behind_what(tmp_path, kept):
    whole = json.dumps([task(chose("cat"))] * 10)
    path = tmp_path / "a.json"
    path.write_text(whole[: int(len(whole) * kept)])
    refused(path, rf"no JSON behind task {int(10 * kept)} .*is the file cut off\?")
    path.write_bytes(b"[{\xff")
    refused(path, "no JSON at its start")


def test_cvat(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(
        '<annotations><version>1.1</version><image id="0" name="a/x.jpg" width="3" height="4">'
        '<tag label="cat" source="manual"></tag><box label="dog" xtl="0"/></image>'
        '<image id="1" name="y.jpg"/></annotations>'
    )
    assert read(path) == [(1, {"file": "a/x.jpg", "label": "cat"}), (2, {"file": "y.jpg", "label": ""})]
    path.write_text('<a><image name="x"><tag label="cat"/><tag label="dog"/></image></a>')
    refused(path, "image 1: has the tags cat and dog; an image has one label")
    path.write_text('<a><image name="x"/><image na')
    refused(path, "no XML behind image 1 .*is the file cut off")
    path.write_text("<a/>")
    refused(path, "holds no image; expected what CVAT writes")


def test_xml_bombs_and_foreign_entities_are_not_read(tmp_path):
    path = tmp_path / "a.xml"
    secret = tmp_path / "secret"
    secret.write_text("secret")
    bomb = '<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><a><image name="&c;"/></a>'
    foreign = f'<!DOCTYPE a [<!ENTITY b SYSTEM "file://{secret}">]><a><image name="x"><tag label="&b;"/></image></a>'
    for text in (bomb, foreign):
        path.write_text(text)
        refused(path, "holds a document type or entities, which are not read")


def test_hugging_face(tmp_path):
    """Names by the metadata of a ClassLabel; ids, or the path within the image where there are none."""
    features = {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    told = {"huggingface": json.dumps({"info": {"features": features}})}
    image = pa.array([{"bytes": b"1", "path": "a/x.jpg"}, {"bytes": b"2", "path": "y.jpg"}, None])
    table = pa.table({"image": image, "label": [1, 0, -1]})
    path = tmp_path / "a.parquet"
    pq.write_table(table.replace_schema_metadata(told), path)
    assert read(path) == [
        (1, {"label": "dog", "file": "a/x.jpg"}),
        (2, {"label": "cat", "file": "y.jpg"}),
        (3, {"label": "", "file": ""}),
    ]
    pq.write_table(pa.table({"id": ["x"], "label": ["cat"], "annotator": ["eve"]}), path)
    assert read(path) == [(1, {"id": "x", "label": "cat", "annotator": "eve"})]
    pq.write_table(pa.table({"id": ["x"], "label": [2]}).replace_schema_metadata(told), path)
    refused(path, "row 1: label 2 is none of the 2 classes that the metadata names")
    pq.write_table(pa.table({"label": [2]}), path)
    refused(path, "expected a column label, and id or an image with a path")
    path.write_bytes(path.read_bytes()[:40])
    refused(path, "cannot be read")
