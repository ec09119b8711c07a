import json

import pytest
from readers import read, refused


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_json_that_is_cut_off_says_behind_what(tmp_path, kept):
    whole = json.dumps([{"data": {"id": "x"}, "annotations": []}] * 10)
    path = tmp_path / "a.json"
    path.write_text(whole[: int(len(whole) * kept)])
    refused(path, rf"no JSON behind task {int(10 * kept)} .*is the file cut off\?")
    path.write_bytes(b"[{\xff")
    refused(path, "no JSON at its start")


@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_json_that_nests_too_deeply(tmp_path, opens, closes):
    """The array, its task and the task's data are three of the 64 levels that are read."""
    path = tmp_path / "a.json"

    def nested(levels):
        path.write_text('[{"data": {}}, {"data": {"x": ' + opens * levels + "1" + closes * levels + "}}]")

    nested(61)
    assert len(read(path)) == 2
    for levels in (62, 200):
        nested(levels)
        refused(path, "nested deeper than 64 levels behind task 1; no annotations are$")
    path.write_text("[" * 200)  # it is refused where it goes too deep, whatever follows
    refused(path, "nested deeper than 64 levels at its start")


@pytest.mark.parametrize("text", ['"abc"', "5", "null"])
def test_json_that_is_no_array(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    refused(path, r"a\.json: expected an array, found another value$")
    path.write_text("[]")
    assert read(path) == []
