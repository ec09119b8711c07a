from raylabel.file_names import safe_name, safe_path, tails, whole_names


def test_safe_names_by_hand():
    assert safe_path("a/b.png") == "a/b.png"
    assert safe_path("../x") == "%2E2E/x" and safe_path("/x") == "%/x"
    assert safe_path("s3://b/x?.jpg#1") == "s3%3A/%/b/x%3F.jpg%231"
    assert safe_path("50%") == "50%25" != safe_path("50%25")
    assert safe_name("cats/dogs") == "cats%2Fdogs"
    assert safe_name("\x00\n") == "%00%0A"


def test_long_names_are_cut_and_stay_apart():
    first, second = "x" * 300 + "a", "x" * 300 + "b"
    assert safe_name(first) != safe_name(second) and safe_name(first).startswith("x" * 100 + "%")
    assert len(safe_name("ü" * 150).encode()) <= 200
    assert safe_name("x" * 200) == "x" * 200


def test_what_a_file_may_be_called():
    assert whole_names("a/b.tar.gz") == ["a/b.tar.gz", "a/b.tar"]
    assert whole_names("a.b/c") == ["a.b/c"]
    assert whole_names("part.parquet%233.row17.png") == [
        "part.parquet%233.row17.png",
        "part.parquet%233.row17",
        "part.parquet%233",
    ]
    assert tails("a/b/c.png") == ["b/c.png", "c.png"]
    assert tails("c.png") == [] and tails("/c.png") == []
