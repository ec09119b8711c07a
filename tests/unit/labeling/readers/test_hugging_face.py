import json

import pyarrow as pa
import pyarrow.parquet as pq
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
