"""Answers, draws and shortlists that were tampered with, with records made to agree."""

import hashlib


def test_an_answer_that_was_changed(copy, change):
    """First the file alone, then with the record that names it: the consensus of that item is another one."""
    [name] = [f"rounds/0000/answers/{path.stem}" for path in (copy.root / "rounds/0000/answers").glob("*.json")]

    def other(table):
        labels = table.column("label").to_pylist()
        labels[0] = "nine" if labels[0] != "nine" else "one"
        return change(table, "label", labels)

    copy.rewrite(name, "answers", other, forge=False)
    found = copy.wrong()
    assert "the file was changed after it was written" in found["files"][0]
    assert "the file was changed after it was written" in found["answers"][0]
    part = copy.record(name)["parts"]["answers"][0]
    copy.forge(part["name"], sha256=hashlib.sha256((copy.root / part["name"]).read_bytes()).hexdigest())
    found = copy.wrong()
    assert set(found) == {"answers"}
    assert len(found["answers"]) == 1 and "'label_index'" in found["answers"][0]


def test_audit_rows_that_were_thinned(copy):
    """Ten of the drawn items are taken out of the draw, wherever it is kept."""
    copy.rewrite("audit/draw-0000", "audit", lambda table: table.slice(10), forge=True)
    found = copy.wrong()
    assert found["audit draw"][0].startswith("audit/draw-0000: 10 items are missing, the first is row ")
    # They were asked as audit items, and now nobody drew them.
    assert len([line for line in found["shortlists"] if "was never drawn" in line]) == 10


def test_an_audit_item_that_a_strategy_picked(copy, change):
    def touch(table):
        strategies = table.column("strategy").to_pylist()
        strategies[strategies.index("audit")] = "margin"
        return change(table, "strategy", strategies)

    copy.rewrite("rounds/0000/shortlist", "shortlist", touch, forge=True)
    [line] = copy.wrong()["shortlists"]
    assert line.startswith("round 0: the strategy margin picked digit-") and line.endswith("of the audit sample")


def test_ids_that_were_exchanged(copy, change):
    def swap(table):
        ids = table.column("id").to_pylist()
        return change(table, "id", [ids[1], ids[0], *ids[2:]])

    copy.rewrite("rounds/0000/shortlist", "shortlist", swap, forge=True)
    assert len(copy.wrong()["shortlists"]) == 2
