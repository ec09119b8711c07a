import json

import pytest
from readers import refused


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_json_that_is_cut_off_says_behind_what(tmp_path, kept):
    whole = json.dumps([{"data": {"id": "x"}, "annotations": []}] * 10)
    path = tmp_path / "a.json"
    path.write_text(whole[: int(len(whole) * kept)])
    refused(path, rf"no JSON behind task {int(10 * kept)} .*is the file cut off\?")
    path.write_bytes(b"[{\xff")
    refused(path, "no JSON at its start")
