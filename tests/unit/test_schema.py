import pyarrow as pa

from raylabel import schema

ROW, ID = ("row", "int64"), ("id", "string")


def columns(of: pa.Schema) -> list[tuple[str, str]]:
    return [(field.name, str(field.type)) for field in of]


def test_audit():
    assert columns(schema.AUDIT) == [
        *(ROW, ID),
        ("stratum", "string"),
        ("inclusion_probability", "double"),
        ("draw", "int32"),
        ("seed", "int64"),
    ]


def test_predictions():
    assert columns(schema.PREDICTIONS) == [
        *(ROW, ID),
        ("label_index", "int32"),
        ("confidence", "float"),
        ("margin", "float"),
        ("entropy", "float"),
        ("top_index", "list<item: int32>"),
        ("top_probability", "list<item: float>"),
    ]
    assert schema.TOP_K == 10


def test_hints():
    assert schema.HINTS.names == ["row", "group", "top_index", "top_probability", "neighbours"]
    assert schema.HINTS.field("neighbours").type == pa.list_(pa.int64())


def test_shortlist():
    assert columns(schema.SHORTLIST) == [
        *(ROW, ID),
        ("position", "int32"),
        ("strategy", "string"),
        ("score", "float"),
        ("reason", "string"),
    ]


def test_answers():
    assert columns(schema.ANSWERS) == [
        ("answer_id", "string"),
        ("id", "string"),
        ("kind", "string"),
        ("label", "string"),
        ("annotator", "string"),
        ("answered_at", "timestamp[us, tz=UTC]"),
        ("seconds", "float"),
        ("round", "int32"),
        ("purpose", "string"),
        ("source", "string"),
        ("comment", "string"),
    ]
    assert schema.ANSWERS.field("label").nullable
    assert schema.ANSWER_KINDS == ("label", "skip", "cannot_tell", "retract")


def test_resolved_answers():
    assert columns(schema.RESOLVED) == [ROW, ID, ("purpose", "string"), ("label_index", "int32"), ("round", "int32")]


def test_held_out_columns():
    assert columns(schema.HELD_OUT) == [ROW, ("confidence", "float"), ("correct", "bool")]


def test_doubts():
    assert columns(schema.DOUBTS) == [
        *(ROW, ID),
        ("label_index", "int32"),
        ("suggested_index", "int32"),
        ("score", "float"),
    ]


def test_gold():
    assert columns(schema.GOLD) == [ROW, ID, ("label_index", "int32")]


def test_labels():
    assert columns(schema.LABELS) == [
        ID,
        ("label", "string"),
        ("label_index", "int32"),
        ("source", "string"),
        ("confidence", "float"),
        ("round", "int32"),
        ("model", "string"),
        ("certificate", "string"),
    ]
    assert schema.LABELS.field("label").nullable


def test_quarantine():
    assert columns(schema.QUARANTINE) == [
        ID,
        ("shard", "string"),
        ("stage", "string"),
        ("error_code", "string"),
        ("message", "string"),
    ]


def test_listing():
    assert columns(schema.LISTING) == [("path", "string"), ("size", "int64"), ("etag", "string")]


def test_embeddings_are_two_bytes_a_value_and_name_their_backbone():
    found = schema.embeddings(dim=576, backbone="abc123")
    assert columns(found) == [ROW, ID, ("embedding", "fixed_size_binary[1152]")]
    assert found.metadata == {b"dim": b"576", b"dtype": b"float16", b"backbone": b"abc123"}


def test_no_table_needs_more_than_plain_arrow_types():
    tables = [value for value in vars(schema).values() if isinstance(value, pa.Schema)]
    assert len(tables) == 15
    for table in [*tables, schema.embeddings(dim=2, backbone="b")]:
        for field in table:
            assert not isinstance(field.type, pa.BaseExtensionType)


def test_uris():
    assert columns(schema.URIS) == [
        ("id", "string"),
        ("uri", "string"),
        ("label", "string"),
        ("label_index", "int64"),
        ("metadata", "string"),
    ]


def test_votes_have_a_column_for_each_function():
    found = schema.votes(["lf.py:sky", "lf.py:sea"])
    expected = [("row", "int64"), ("id", "string"), ("lf.py:sky", "int16"), ("lf.py:sea", "int16")]
    assert columns(found) == expected
