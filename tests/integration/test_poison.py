"""Images that kill or hang their decoder are found and quarantined; everything else is labeled."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from campaigns import raylabel, result_of, write_toml

from raylabel.config import Config
from raylabel.demo import DIGITS, write_pool

# Python runs a sitecustomize.py that it finds before anything else, so every worker has this decoder.
DECODER = """
import os, time
from PIL import Image

whole = Image.open


def opens(file, *args, **kwargs):
    start = file.getvalue()[:4]
    if start == b"KILL":
        with open(os.environ["TRIES"], "a") as tries:
            tries.write("killed\\n")
        os._exit(139)
    if start == b"HANG":
        with open(os.environ["TRIES"], "a") as tries:
            tries.write("hung\\n")
        time.sleep(3600)
    return whole(file, *args, **kwargs)


Image.open = opens
"""


@pytest.mark.parametrize("decode", ["local", "tasks"])
def test_poison(tmp_path: Path, decode: str) -> None:
    write_pool(tmp_path / "clean")
    rows = pq.read_table(tmp_path / "clean").slice(0, 400).to_pylist()
    rows[37]["image"], rows[210]["image"], rows[390]["image"] = b"KILL", b"HANG", b"not an image"
    (tmp_path / "pool").mkdir()
    for number in range(4):
        pq.write_table(
            pa.Table.from_pylist(rows[number * 100 : number * 100 + 100]), tmp_path / f"pool/{number}.parquet"
        )
    (tmp_path / "sitecustomize.py").write_text(DECODER)
    config = Config.model_validate(
        {
            "workspace": str(tmp_path / "workspace"),
            "classes": DIGITS,
            "pool": {"path": str(tmp_path / "pool"), "label_column": "label", "decode_timeout_s": 4.0},
            "backbone": {"name": "tiny_cnn", "weights": "none", "image_size": 16},
            "budget": {"train_answers": 100, "audit_answers": 100, "rounds": 1},
            "labeling": {"labeler": "oracle"},
            "acceptance": {"max_error": 0.3},
            "compute": {"decode": decode},
        }
    )
    toml = write_toml(config, tmp_path / "campaign.toml")
    done = raylabel("run", toml, env={"PYTHONPATH": str(tmp_path), "TRIES": str(tmp_path / "tries")})
    assert done.returncode == 0, done.stderr
    assert "lost their worker" in done.stderr

    lost = [row for part in (tmp_path / "workspace").glob("quarantine/*") for row in pq.read_table(part).to_pylist()]
    assert {row["id"]: row["error_code"] for row in lost} == {
        rows[37]["id"]: "decoder_crashed",
        rows[210]["id"]: "decoder_hung",
        rows[390]["id"]: "not_an_image",
    }
    poisoned = {rows[n]["id"] for n in (37, 210, 390)}
    assert {row["id"] for row in result_of(config)["labels"]} == {row["id"] for row in rows} - poisoned
    tries = Counter((tmp_path / "tries").read_text().split())
    assert all(2 <= tries[what] <= 3 for what in ("killed", "hung")), tries
