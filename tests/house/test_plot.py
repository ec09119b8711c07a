"""Figures of saved benchmarks: what is in them, and that the same figures give the same file."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

LABEL = {
    "benchmark": "label",
    "hardware": "2 cores, a processor",
    "ratios": {"resnet18: of the limit": 0.9, "resnet18: to daft": 2.0, "resnet18: of its own limit": 0.95},
    "limits": {"resnet18": 200.0, "resnet18: raylabel's own": 190.0},
    "peers": {"resnet18: dataloader": 151.4, "resnet18: ray script": 61.0, "resnet18: daft": 90.0},
}
ENGINE = {
    "benchmark": "engine",
    "hardware": "2 cores, a processor",
    "ratios": {"no-op model: of the limit": 0.8},
    "limits": {"no-op model": 1500.0},
    "peers": {"no-op model: dataloader": 1050.0},
}
DECODE = {
    "benchmark": "decode",
    "hardware": "2 cores, a processor",
    "ratios": {"640 x 480": 1.57},
    "limits": {"640 x 480": 1.4},
    "peers": {"640 x 480, torchvision loop": 400, "640 x 480, raylabel": 640, "640 x 480, Pillow, draft": 300},
}


@pytest.fixture
def plot(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import plot

    return plot


def saved(folder: Path, result: dict, name: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(result))


def drawn(plot, results: Path, out: Path) -> dict[str, str]:
    plot.main(["--results", str(results), "--out", str(out)])
    return {file.name: file.read_text() for file in out.iterdir()}


def texts(svg: str) -> set[str]:
    """What stands in the picture, element by element."""
    return {piece.partition("</text>")[0].rpartition(">")[2] for piece in svg.split("<text")[1:]}


def test_throughput_shows_everybody_their_rates_and_the_limit(plot, tmp_path):
    saved(tmp_path / "results", LABEL, "label_2cores_2026-01-02.json")
    saved(tmp_path / "results", ENGINE, "engine_2cores_2026-01-02.json")
    found = drawn(plot, tmp_path / "results", tmp_path / "docs")
    assert found.keys() == {"throughput.svg"}
    shown = texts(found["throughput.svg"])
    assert {"raylabel", "dataloader", "ray script", "daft"} <= shown
    assert {"180", "151", "61", "90", "limit 200"} <= shown, "0.9 of the limit of 200 is raylabel's 180"
    assert {"1,200", "1,050", "limit 1,500"} <= shown
    assert {"resnet18, 2 cores, a processor", "no-op model, 2 cores, a processor", "images/s"} <= shown


def test_decoding_shows_ratios_to_the_bare_loop(plot, tmp_path):
    saved(tmp_path / "results", DECODE, "decode_2cores_2026-01-02.json")
    found = drawn(plot, tmp_path / "results", tmp_path / "docs")
    assert found.keys() == {"decode.svg"}
    shown = texts(found["decode.svg"])
    assert {"torchvision loop", "raylabel", "Pillow, draft", "asked 1.40"} <= shown
    assert {"1.00", "1.57", "0.75"} <= shown, "300 of 400, and raylabel's ratio as it was measured, not 640 of 400"


SELECTION = {
    "benchmark": "selection",
    "hardware": "2 cores, a processor",
    "ratios": {},
    "limits": {},
    "peers": {
        "apricot": 3.0,
        "k_center: 100000: seconds": 2.0,
        "k_center: 1000000: seconds": 9.0,
        "k_center: 100000: peak_mb": 400.0,
        "k_center: 1000000: peak_mb": 500.0,
    },
}


def test_selection_shows_a_curve_a_strategy(plot, tmp_path):
    saved(tmp_path / "results", SELECTION, "selection_2cores_2026-01-02.json")
    found = drawn(plot, tmp_path / "results", tmp_path / "docs")
    assert found.keys() == {"selection.svg"}
    shown = texts(found["selection.svg"])
    assert {"k_center", "seconds", "peak memory, MB", "embeddings", "2 cores, a processor"} <= shown
    assert "apricot" not in shown


def test_efficiency_shows_every_set_and_names_auto_and_random(plot, tmp_path):
    curve = [[0.2, 0.1], [0.5, 0.4]]
    result = {
        "benchmark": "efficiency",
        "hardware": "2 cores, a processor",
        "ratios": {},
        "limits": {"tiles": {"budgets": [10, 20]}},
        "peers": {"tiles": {"random": curve, "auto": curve, "margin": curve[:1]}},
    }
    saved(tmp_path / "results", result, "efficiency_2cores_2026-01-02.json")
    found = drawn(plot, tmp_path / "results", tmp_path / "docs")
    assert found.keys() == {"efficiency.svg"}
    shown = texts(found["efficiency.svg"])
    assert {"tiles: accuracy, %", "tiles: macro-F1, %", "answers", "auto", "random"} <= shown
    assert "margin" not in shown


def test_certificates_show_both_promises_and_every_rule(plot, tmp_path):
    rules = {"auto": ("uniform", "targeted", "empirical", "TBAL"), "whole": ("uniform", "targeted", "PAC labels")}
    peers = {
        f"{promise}, {max_error}, 0.05, {size}: {rule}": [0.04, 0.5, 0.45]
        for promise, named in rules.items()
        for rule in named
        for max_error in (0.01, 0.05)
        for size in (100, 500)
    }
    result = {"benchmark": "certificate", "hardware": "2 cores", "ratios": {}, "limits": {}, "peers": peers}
    saved(tmp_path / "results", result, "certificate_2cores_2026-01-02.json")
    found = drawn(plot, tmp_path / "results", tmp_path / "docs")
    assert found.keys() == {"certificate.svg"}
    shown = texts(found["certificate.svg"])
    assert {'"auto": promises broken', '"whole": coverage ÷ the oracle\'s', "audit answers", "allowed, 5 %"} <= shown
    assert {"raylabel, uniform audit", "raylabel, targeted audit", "empirical", "TBAL", "PAC labels"} <= shown


def test_the_newest_date_counts_whatever_the_cores(plot, tmp_path):
    saved(tmp_path / "results", {**ENGINE, "limits": {"no-op model": 3000.0}}, "engine_8cores_2026-02-01.json")
    saved(tmp_path / "results", ENGINE, "engine_16cores_2026-01-31.json")
    assert plot.newest(tmp_path / "results", "engine")["limits"] == {"no-op model": 3000.0}
    assert plot.newest(tmp_path / "results", "label") is None


def test_the_same_figures_give_the_same_file(plot, tmp_path):
    saved(tmp_path / "results", LABEL, "label_2cores_2026-01-02.json")
    saved(tmp_path / "results", DECODE, "decode_2cores_2026-01-02.json")
    first = drawn(plot, tmp_path / "results", tmp_path / "first")
    assert first == drawn(plot, tmp_path / "results", tmp_path / "second")
    assert "<dc:date>" not in first["decode.svg"]


def test_nothing_saved_and_broken_files_are_told(plot, tmp_path):
    with pytest.raises(
        SystemExit,
        match=r"holds no figures of engine, label, decode, selection, efficiency, certificate; run .* --save",
    ):
        plot.main(["--results", str(tmp_path), "--out", str(tmp_path / "docs")])
    saved(tmp_path, {"benchmark": "engine"}, "engine_2cores_2026-01-02.json")
    with pytest.raises(SystemExit, match=r"engine_2cores_2026-01-02.json: not the closing line of a benchmark"):
        plot.main(["--results", str(tmp_path), "--out", str(tmp_path / "docs")])


def test_saving_writes_table_and_closing_line(plot, tmp_path, monkeypatch, capsys):
    import record

    monkeypatch.setattr(record, "RESULTS", tmp_path)
    outcome = record.Outcome("engine", ("engine", "images/s"), [("raylabel", "1,200")])
    outcome.ratios, outcome.limits, outcome.peers = ENGINE["ratios"], ENGINE["limits"], ENGINE["peers"]
    record.finish(outcome, save=True)
    (table,), (line,) = tmp_path.glob("*.md"), tmp_path.glob("*.json")
    assert line.stem == table.stem and "| raylabel | 1,200 |" in table.read_text()
    closing = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert plot.newest(tmp_path, "engine") == closing == {**ENGINE, "hardware": closing["hardware"]}
