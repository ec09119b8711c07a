import json

import pytest
from readers import read, refused

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
        ({"annotations": {"1": {"image_id": 7}}}, "expected an array of annotations, found another value"),
        (
            {"annotations": {"item": {"image_id": 7, "category_id": 2}}},
            "expected an array of annotations, found another",
        ),
        ({"annotations": "none"}, "expected an array of annotations, found another value"),
        ({"categories": []}, "expected COCO with images, annotations and categories"),
    ],
)
def test_coco_that_is_none(tmp_path, change, match):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(COCO_FILE | change))
    refused(path, match)


def test_coco_without_annotations(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({name: COCO_FILE[name] for name in ("images", "categories")}))
    refused(path, "expected an array of annotations, found none")
