"""Certificates, predictions and labels that were tampered with, with records made to agree."""

from raylabel.verify import verify


def test_a_label_that_was_changed(copy, change):
    def other(table):
        labels, sources = table.column("label").to_pylist(), table.column("source").to_pylist()
        at = sources.index("auto")
        labels[at] = "nine" if labels[at] != "nine" else "one"
        return change(table, "label", labels)

    copy.rewrite("labels/labels", "labels", other, forge=True)
    found = copy.wrong()
    assert set(found) == {"labels"}
    assert ": label '" in found["labels"][0] and "recomputed '" in found["labels"][0]


def test_a_label_below_the_threshold(copy, change):
    """An audited item's label is called the machine's: counts and sources no longer fit the certificate."""

    def other(table):
        sources = table.column("source").to_pylist()
        sources[sources.index("human")] = "auto"
        return change(table, "source", sources)

    copy.rewrite("labels/labels", "labels", other, forge=True)
    found = " ".join(copy.wrong()["labels"])
    assert "source 'auto', recomputed 'human'" in found
    assert "labels are the machine's, the certificate is about" in found
    assert "num_auto: the record says" in found


def test_predictions_that_were_changed(copy, change):
    last = verify(copy.campaign)["round"]

    def surer(table):
        return change(table, "confidence", [1.0] * table.num_rows)

    copy.rewrite(f"rounds/{last:04d}/predictions", "predictions", surer, forge=True)
    found = copy.wrong()
    assert any("threshold" in line or "num_passing" in line for line in found["verdicts"])


def test_a_certificate_that_was_changed(copy):
    last = f"rounds/{verify(copy.campaign)['round']:04d}"
    tree = copy.record(f"{last}/verdict")
    tree["facts"]["strata"][0]["details"]["num_wrong"] = 0
    copy.put(f"{last}/verdict", tree)
    assert any(".num_wrong: kept 0, recomputed" in line for line in copy.wrong()["verdicts"])


def test_a_forecast_that_was_changed(copy):
    tree = copy.record("rounds/0001/forecast")
    tree["facts"]["num_answers"] += 1
    copy.put("rounds/0001/forecast", tree)
    found = copy.wrong()
    count = tree["facts"]["num_answers"]
    assert found == {"verdicts": [f"round 1: forecast.num_answers: kept {count}, recomputed {count - 1}"]}


def test_a_forecast_that_is_gone(copy):
    (copy.root / "rounds/0001/forecast.json").unlink()
    assert copy.wrong() == {"verdicts": [f"{copy.root}: the forecast of round 1 is gone"]}


def test_a_file_among_the_labels_that_no_record_names(copy):
    (copy.root / "labels" / "more.parquet").write_bytes(b"more")
    assert copy.wrong()["labels"] == ["labels/more.parquet: no record names this file"]
