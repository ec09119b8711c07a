"""Images that kill or hang their decoder are found and quarantined; everything else is labeled."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from campaigns import digits_settings, raylabel, result_of, write_toml

from raylabel.demo import write_pool

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


@pytest.mark.parametrize(
    ("decode", "poison"),
    [
        ("local", {37: b"KILL", 210: b"HANG"}),
        ("tasks", {37: b"KILL"}),
    ],
)
def test_poison(tmp_path: Path, decode: str, poison: dict[int, bytes]) -> None:
    write_pool(tmp_path / "clean")
    rows = pq.read_table(tmp_path / "clean").slice(0, 400).to_pylist()
    rows[390]["image"] = b"not an image"
    for number, image in poison.items():
        rows[number]["image"] = image
    (tmp_path / "pool").mkdir()
    for number in range(4):
        pq.write_table(
            pa.Table.from_pylist(rows[number * 100 : number * 100 + 100]), tmp_path / f"pool/{number}.parquet"
        )
    (tmp_path / "sitecustomize.py").write_text(DECODER)
    pool = {"decode_timeout_s": 4.0}
    config = digits_settings(
        tmp_path / "pool", tmp_path / "workspace", pool=pool, compute={"decode": decode, "workers": 2}
    )
    toml = write_toml(config, tmp_path / "campaign.toml")
    done = raylabel("run", toml, env={"PYTHONPATH": str(tmp_path), "TRIES": str(tmp_path / "tries")})
    assert done.returncode == 0, done.stderr
    assert "lost their worker" in done.stderr
    assert " INFO " not in done.stderr, "Ray Data keeps its log to itself"

    lost = [row for part in (tmp_path / "workspace").glob("quarantine/*") for row in pq.read_table(part).to_pylist()]
    codes = {b"KILL": "decoder_crashed", b"HANG": "decoder_hung"}
    assert {row["id"]: row["error_code"] for row in lost} == {
        rows[390]["id"]: "not_an_image",
        **{rows[number]["id"]: codes[image] for number, image in poison.items()},
    }
    poisoned = {rows[number]["id"] for number in (390, *poison)}
    assert {row["id"] for row in result_of(config)["labels"]} == {row["id"] for row in rows} - poisoned
    tries = Counter((tmp_path / "tries").read_text().split())
    assert len(tries) == len(poison)
    assert all(2 <= times <= 3 for times in tries.values()), tries
