from raylabel.acceptance.differences import differences


def test_differences_by_hand():
    kept = {"a": 1, "b": [1.0, {"c": "x"}], "d": None, "f": True, "gone": 0}
    found = {"a": 1, "b": [1.0 + 1e-12, {"c": "y"}], "d": 0.0, "f": 1.0, "new": 2}
    assert differences(kept, found, where="it") == [
        "it.b[1].c: kept 'x', recomputed 'y'",
        "it.d: kept None, recomputed 0.0",
        "it.f: kept True, recomputed 1.0",
        "it.gone: kept 0, nothing like it is recomputed",
        "it.new: is missing, recomputed 2",
    ]
    assert differences([1, 2], [1], where="list") == ["list: kept [1, 2], recomputed [1]"]
    assert differences(0.1, 0.1 + 1e-8) == [": kept 0.1, recomputed 0.10000001"]
    assert differences({"a": 1}, {"a": 1.0}) == []
