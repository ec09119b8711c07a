"""Throughput contests: raylabel, its peers and the bare loop do one task, each in processes of its own, in turns."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from record import Outcome
from sidebyside import agree, race

PEERS = Path(__file__).parent / "peers"
VENV = Path(sys.executable).parent.parent
DAFT = VENV / "peers-daft" / "bin" / "python"
FILE_ROWS = 256


def photos(source: Path, target: Path, *, copies: int, file_rows: int = FILE_ROWS, limit: int | None = None) -> int:
    """Lay the photos of trashnet into many small files, several times over under names of their own.

    Small files, because on a short run whoever is left with the last large one would be measured for that.

    Args:
        source: trashnet's Parquet files.
        target: a new folder.
        copies: of every photo.
        file_rows: images of a file.
        limit: photos taken, before they are copied.

    Returns:
        How many images.
    """
    target.mkdir(parents=True)
    table = pa.concat_tables(pq.read_table(f, columns=["image", "path"]) for f in sorted(source.glob("*.parquet")))
    table = table.slice(0, limit)
    number = 0
    for copy in range(copies):
        names = pa.array([f"{copy}/{name}" for name in table.column("path").to_pylist()])
        renamed = table.set_column(table.schema.get_field_index("path"), "path", names)
        for start in range(0, renamed.num_rows, file_rows):
            pq.write_table(
                renamed.slice(start, file_rows),
                target / f"{number:05d}.parquet",
                compression="none",
                use_dictionary=False,
            )
            number += 1
    return copies * int(table.num_rows)


def contest(pool: Path, place: Path, task: dict[str, str], *, repeats: int, daft: bool = True) -> dict[str, Any]:
    """Run everybody in turns; outputs are compared before anything is reported.

    Args:
        pool: folder of Parquet files.
        place: for what they write.
        task: the options of the peers' command line.
        repeats: turns.
        daft: whether Daft takes part.

    Raises:
        PeerFailed: one of them failed, or wrote other embeddings.
    """
    if daft and not DAFT.exists():
        raise SystemExit(f"{DAFT}: Daft is not installed; `make peers` installs it")
    runs = {"raylabel": "raylabel_embed", "dataloader": "dataloader", "ray script": "ray_script", "bare": "bare_loop"}
    if daft:
        runs["daft"] = "daft_script"
    options = [word for name, value in task.items() for word in (f"--{name}", value)]
    commands = {
        name: [
            str(DAFT if name == "daft" else sys.executable),
            str(PEERS / f"{script}.py"),
            "--pool",
            str(pool),
            "--out",
            str(place / name),
            *options,
        ]
        for name, script in runs.items()
    }
    found = race(commands, repeats=repeats, before=lambda name: shutil.rmtree(place / name, ignore_errors=True))
    agree({name: place / name for name in runs}, cosine=0.98)
    return found


def rate(report: dict[str, Any]) -> float:
    """Images a second, after the start; of the bare loop while all its processes decode, embed and write."""
    return float(report.get("both_per_s") or report["images"] / report["seconds"])


def tell(outcome: Outcome, workload: str, found: dict[str, Any], *, limit: float) -> None:
    """Add a contest's rows and ratios to what a benchmark prints."""
    ours = rate(found["raylabel"])
    for name, report in found.items():
        outcome.rows.append(
            (
                workload,
                "bare loop, a process a core" if name == "bare" else name,
                f"{rate(report):,.0f}",
                f"{ours / rate(report):.2f}",
                f"{report['startup_s']:.1f}",
                f"{report['peak_rss_bytes'] / 1e9:.1f}",
            )
        )
    outcome.limits[workload] = round(limit, 1)
    outcome.ratios[f"{workload}: of the limit"] = round(ours / limit, 3)
    for name in ("dataloader", "ray script", "daft"):
        if name in found:
            outcome.ratios[f"{workload}: to {name}"] = round(ours / rate(found[name]), 3)
            outcome.peers[f"{workload}: {name}"] = round(rate(found[name]), 1)
