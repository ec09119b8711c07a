"""The benchmarks' harness, and two of the peers against each other on real images."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def harness(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import sidebyside

    return sidebyside


def test_functions_take_turns(harness):
    turns = []
    seconds = harness.clock(
        {"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, repeats=2, before=lambda: turns.append("-")
    )
    assert turns == ["-", "a", "-", "b", "-", "a", "-", "b"]
    assert seconds.keys() == {"a", "b"} and all(0 <= spent < 1 for spent in seconds.values())


def saying(values: list[int], log: Path, name: str) -> list[str]:
    """A command that reports the next of its values each time, and notes that it was its turn."""
    code = f"""
import json, pathlib
log = pathlib.Path({str(log)!r})
turns = log.read_text() if log.exists() else ""
log.write_text(turns + {name!r})
print("noise")
print(json.dumps({{"peer": {name!r}, "images": {values}[turns.count({name!r})], "good": True}}))
"""
    return [sys.executable, "-c", code]


def test_commands_take_turns_and_their_numbers_are_medians(harness, tmp_path):
    log = tmp_path / "log"
    found = harness.race({"a": saying([5, 1, 3], log, "a"), "b": saying([7, 9, 8], log, "b")}, repeats=3)
    assert log.read_text() == "ababab"
    assert found == {"a": {"peer": "a", "images": 3, "good": True}, "b": {"peer": "b", "images": 8, "good": True}}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import sys; sys.exit('no such pool')", r"(?s)^slow: exit code 1 from .*no such pool$"),
        ("print('done')", "^slow: its last line is no JSON object"),
        ("print([1])", "^slow: its last line is no JSON object"),
        ("", "^slow: its last line is no JSON object"),
    ],
)
def test_a_peer_that_fails_says_why(harness, code, message):
    with pytest.raises(harness.PeerFailed, match=message):
        harness.race({"slow": [sys.executable, "-c", code]}, repeats=1)


def wrote(folder: Path, ids: list[str], vectors: list[list[float]]) -> Path:
    """Embeddings as a peer writes them, each in a file of its own."""
    folder.mkdir()
    for number, (name, vector) in enumerate(zip(ids, vectors, strict=True)):
        data = np.array(vector, dtype=np.float16).tobytes()
        pq.write_table(pa.table({"id": [name], "embedding": [data]}), folder / f"{number}.parquet")
    return folder


def test_outputs_are_compared_by_id(harness, tmp_path):
    first = wrote(tmp_path / "first", ["a", "b"], [[1, 0], [3, 4]])
    same = wrote(tmp_path / "same", ["b", "a"], [[6, 8], [2, 0]])
    assert harness.agree({"first": first, "same": same}) == {"same": pytest.approx(1.0)}
    turned = wrote(tmp_path / "turned", ["a", "b"], [[1, 0], [4, 3]])
    assert harness.agree({"first": first, "turned": turned}, cosine=0.9) == {"turned": pytest.approx(24 / 25)}
    with pytest.raises(harness.PeerFailed, match=r"^turned: b has cosine 0.96000 with first's, 0.999 at least$"):
        harness.agree({"first": first, "turned": turned})


def test_other_ids_and_broken_numbers_do_not_agree(harness, tmp_path):
    first = wrote(tmp_path / "first", ["a", "b"], [[1, 0], [3, 4]])
    other = wrote(tmp_path / "other", ["a", "c", "d"], [[1, 0], [3, 4], [1, 1]])
    with pytest.raises(harness.PeerFailed, match=r"3 ids where first wrote 2: 1 of those are missing, 2 are others"):
        harness.agree({"first": first, "other": other})
    twice = wrote(tmp_path / "twice", ["a", "b", "b"], [[1, 0], [3, 4], [3, 4]])
    with pytest.raises(harness.PeerFailed, match="3 ids where first wrote 2"):
        harness.agree({"first": first, "twice": twice})
    broken = wrote(tmp_path / "broken", ["a", "b"], [[1, 0], [np.nan, 4]])
    with pytest.raises(harness.PeerFailed, match="b has cosine nan"):
        harness.agree({"first": first, "broken": broken})


def test_peers_do_the_same_task(harness, data, tmp_path):
    """PyTorch's loader and the bare loops, as the harness runs them, on 80 real photos."""
    pool = tmp_path / "pool"
    pool.mkdir()
    photos = pq.read_table(data / "trashnet" / "part-000.parquet", columns=["image", "path"]).slice(0, 80)
    pq.write_table(photos, pool / "part.parquet", row_group_size=20)
    peers = ("dataloader", "bare_loop")
    common = ["--pool", str(pool), "--image-size", "64", "--batch-size", "16", "--backbone", "resnet18"]
    commands = {
        peer: [sys.executable, str(ROOT / "benchmarks/peers" / f"{peer}.py"), *common, "--out", str(tmp_path / peer)]
        for peer in peers
    }
    found = harness.race(commands, repeats=1)
    for peer in peers:
        report = found[peer]
        assert (report["peer"], report["images"]) == (peer, 80), json.dumps(report)
        assert 0 < report["startup_s"] < report["total_s"]
        assert report["peak_rss_bytes"] > 100e6
    bare = found["bare_loop"]
    slowest = min(bare["decode_per_s"], max(bare["forward_per_s"], bare["forward_one_process_per_s"]))
    assert 0 < bare["limit_per_s"] < slowest
    assert harness.agree({peer: tmp_path / peer for peer in peers})["bare_loop"] > 0.999
