import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from readers import read, refused


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


@pytest.mark.parametrize(
    ("told", "match"),
    [
        ("{bad", "its features metadata is no JSON"),
        ("9" * 5_000, "its features metadata is no JSON"),
        ("[]", "its features metadata is none of Hugging Face: expected an object with info"),
        ('{"info": []}', "its features metadata is none of Hugging Face: expected an object with features"),
        ('{"info": {"features": 5}}', "its features metadata is none of Hugging Face: expected an object with label"),
    ],
)
def test_metadata_that_is_none(tmp_path, told, match):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["x"], "label": [0]}).replace_schema_metadata({"huggingface": told}), path)
    refused(path, match)


def test_metadata_of_a_label_that_is_no_class_label(tmp_path):
    path, told = tmp_path / "a.parquet", '{"info": {"features": {"label": {"dtype": "string"}}}}'
    pq.write_table(pa.table({"id": ["x"], "label": ["cat"]}).replace_schema_metadata({"huggingface": told}), path)
    assert read(path) == [(1, {"id": "x", "label": "cat"})]


def test_values_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.parquet"
    broken = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\x02\0\0\0"), pa.py_buffer(b"\xff\xfe"))
    names = pa.chunked_array([pa.array(["x"] * 5_000), broken])
    pq.write_table(pa.table({"id": names, "label": ["cat"] * 5_001}), path)
    refused(path, "behind row 4096: a value cannot be read .*utf-8")
    late = pa.array([2**62], pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table({"id": ["x"], "label": ["cat"], "answered_at": late}), path)
    refused(path, "behind row 0: a value cannot be read")


def test_a_column_that_stands_twice(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["x"])] * 3, ["id", "label", "label"]), path)
    refused(path, "has more than one column 'label'")
