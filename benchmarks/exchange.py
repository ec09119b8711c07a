"""Questions out and answers in, a million of them: how long it takes, and what the process holds at most.

A shortlist of a folder's images is written straight into a workspace; then `raylabel export` writes it as CSV and as
JSON lines, `raylabel import` takes a sheet in which every row is answered, and Label Studio's tasks go out and its JSON
export comes back. Every verb runs in a process of its own, as users run it.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from record import Outcome, arguments, finish

from raylabel import __version__, schema
from raylabel.campaign import Campaign
from raylabel.config import Config
from raylabel.models.arithmetic import Arithmetic
from raylabel.opening import find_campaign
from raylabel.pool import Plan
from raylabel.profile import Profile
from raylabel.workspace import Record, Store, write_part

POOL = "s3://bucket/photos"
"""Nobody reads it: images of a folder go out by their names."""
CLASSES = tuple(f"class {number}" for number in range(10))
SECONDS, MEGABYTES = 60.0, 500.0
"""What a million may take."""
STUDIO_TASKS = 100_000
VERB = """
import pathlib, re, sys, time
from raylabel.cli import main
started, code = time.perf_counter(), 0
try:
    main()
except SystemExit as done:
    code = done.code or 0
# Not getrusage: a process begins with the peak of the one that started it.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 1024
print(f"\\n{time.perf_counter() - started:.2f} {peak:.1f} {code}")
"""


def ask(place: Path, count: int) -> Path:
    """A workspace whose round 0 asks about so many images of a folder, a tenth of them for the audit; its TOML."""
    tree: dict[str, Any] = {
        "workspace": str(place / "workspace"),
        "classes": CLASSES,
        "pool": {"path": POOL},
        "budget": {"train_answers": count - count // 10, "audit_answers": count // 10, "rounds": 1},
        "sampling": {"max_candidates": count},
    }
    config = Config.model_validate(tree)
    profile = Profile(Arithmetic("cpu", "float32", fused=False, compiled=False, batch_size=32, threads=1), 1, "", {})
    mine = {"raylabel": __version__, "config": config.model_dump(mode="json"), "profile": asdict(profile)}
    Store(config.workspace).create("campaign.json", json.dumps({**mine, "measured": None}).encode())
    campaign = find_campaign(config)
    plan = Plan(POOL, "folder", None, ())
    campaign.records.commit("pool/plan-0000", Record(facts=plan.to_json()))
    _commit_rows(campaign, count)
    toml = place / "campaign.toml"
    lines = [f"workspace = {json.dumps(tree['workspace'])}", f"classes = {json.dumps(CLASSES)}"]
    for section in ("pool", "budget", "sampling"):
        lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in tree[section].items())]
    toml.write_text("\n".join(lines) + "\n")
    return toml


def name_of(row: int) -> str:
    """The id of an image: a path of some length, as pools have them."""
    return f"camera-{row % 40:02d}/2026/{row // 10_000:04d}/image-{row:08d}.jpg"


def _commit_rows(campaign: Campaign, count: int) -> None:
    order = np.random.default_rng(0).permutation(count)
    audit = np.arange(0, count, 10)
    ids = [name_of(row) for row in order.tolist()]
    columns = {
        "row": order,
        "id": ids,
        "position": np.arange(count, dtype=np.int32),
        "strategy": np.where(order % 10 == 0, "audit", "margin").tolist(),
        "score": np.zeros(count, np.float32),
        "reason": ["uncertain"] * count,
    }
    part = write_part(campaign.store, "rounds/0000/shortlist", pa.table(columns, schema=schema.SHORTLIST))
    campaign.records.commit("rounds/0000/shortlist", Record(parts={"shortlist": [part]}))
    drawn = {
        "row": audit,
        "id": [name_of(row) for row in audit.tolist()],
        "stratum": ["pool"] * len(audit),
        "inclusion_probability": np.full(len(audit), 0.1),
        "draw": np.zeros(len(audit), np.int32),
        "seed": np.zeros(len(audit), np.int64),
    }
    part = write_part(campaign.store, "audit/draw-0000", pa.table(drawn, schema=schema.AUDIT))
    campaign.records.commit("audit/draw-0000", Record(parts={"audit": [part]}))


def verb(*arguments: object) -> tuple[float, float]:
    """Run a verb in a process of its own: seconds and peak megabytes."""
    done = subprocess.run(
        [sys.executable, "-c", VERB, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    seconds, peak, code = done.stdout.splitlines()[-1].split()
    if code != "0":
        raise SystemExit(done.stderr)
    return float(seconds), float(peak)


def fill_in(sheet: Path, target: Path) -> None:
    """Answer every row of a sheet."""
    with sheet.open(newline="") as source, target.open("w", newline="") as sink:
        reader = csv.reader(source)
        writer = csv.writer(sink)
        header = next(reader)
        label, annotator = header.index("label"), header.index("annotator")
        writer.writerow(header)
        for number, row in enumerate(reader):
            row[label], row[annotator] = CLASSES[number % 10], f"annotator {number % 20}"
            writer.writerow(row)


def annotate(tasks: Path, target: Path, count: int) -> None:
    """What Label Studio would export of these tasks, each with one annotation."""
    found = json.loads(tasks.read_text())
    with target.open("w") as file:
        file.write("[")
        for number, task in enumerate(found[:count]):
            choice = {"type": "choices", "from_name": "label", "to_name": "image"}
            choice["value"] = {"choices": [CLASSES[number % 10]]}  # type: ignore[assignment]  # as JSON has it
            made = {"id": number, "completed_by": number % 20, "updated_at": "2026-03-01T11:00:00.123456Z"}
            annotation = {**made, "result": [choice], "lead_time": 1.5}
            file.write(("," if number else "") + json.dumps({**task, "id": number, "annotations": [annotation]}))
        file.write("]")


def main() -> None:
    """Measure each verb, print the table."""
    options = arguments(__doc__ or "")
    count, tasks = (20_000, 2_000) if options.quick else (1_000_000, STUDIO_TASKS)
    outcome = Outcome("exchange", ("what", "rows", "seconds", "peak MB", "allowed"))

    def note(what: str, rows: int, run: Callable[[], tuple[float, float]]) -> None:
        started = time.perf_counter()
        seconds, peak = run()
        print(f"{what}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        outcome.rows.append(
            (what, f"{rows:,}", f"{seconds:.1f}", f"{peak:.0f}", f"{SECONDS:.0f} s, {MEGABYTES:.0f} MB")
        )
        outcome.limits[f"{what}: seconds"] = {"value": round(seconds / SECONDS, 3), "limit": 1}
        outcome.limits[f"{what}: memory"] = {"value": round(peak / MEGABYTES, 3), "limit": 1}

    with tempfile.TemporaryDirectory(prefix="raylabel-exchange-") as folder:
        place = options.work or Path(folder)
        toml = ask(place / "large", count)
        sheet, filled = place / "questions.csv", place / "filled.csv"
        note("export, CSV", count, lambda: verb("export", toml, sheet))
        note("export, JSON lines", count, lambda: verb("export", toml, place / "questions.jsonl"))
        fill_in(sheet, filled)
        note("import, CSV", count, lambda: verb("import", toml, filled))
        _studio(place, tasks, note)
    outcome.notes.append("times are those of the verb within its process, without the start of Python")
    finish(outcome, save=options.save)


def _studio(place: Path, count: int, note: Callable[[str, int, Callable[[], tuple[float, float]]], None]) -> None:
    """Label Studio's tasks of images in S3 out, and its export in, ten times fewer first: memory must not grow."""
    for size in (count // 10, count):
        toml = ask(place / f"studio-{size}", size)
        out, back = place / f"tasks-{size}.json", place / f"export-{size}.json"
        remote = ("--format", "labelstudio")
        note(f"export, Label Studio, {size:,}", size, lambda: verb("export", toml, out, *remote))  # noqa: B023
        annotate(out, back, size)
        note(f"import, Label Studio, {size:,}", size, lambda: verb("import", toml, back))  # noqa: B023


if __name__ == "__main__":
    main()
