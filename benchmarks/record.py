"""What every benchmark does at its end: print its table, save it if asked, and close with one line of JSON.

What is saved is the table as Markdown and the closing line beside it, of which `plot.py` draws its figures.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
DATA = Path(os.environ.get("RAYLABEL_DATA", Path(__file__).resolve().parent.parent.parent / "shared" / "data"))


@dataclass
class Outcome:
    """A benchmark's figures: rows of a table, and ratios, limits and peers for the closing line."""

    benchmark: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    ratios: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    peers: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def arguments(summary: str) -> argparse.Namespace:
    """`--quick` and `--save`, the options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--quick", action="store_true", help="a small version, to see that it runs")
    parser.add_argument("--save", action="store_true", help="write table and figures into benchmarks/results/")
    parser.add_argument("--work", type=Path, help="folder to keep workspaces in; a temporary one by default")
    return parser.parse_args()


def real_data() -> Path:
    """The folder of real images, or an exit that says how to name it."""
    if not DATA.is_dir():
        raise SystemExit(f"{DATA}: no such folder; set RAYLABEL_DATA to the real images that this benchmark needs")
    return DATA


def hardware() -> str:
    """This machine, in a few words."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{os.cpu_count()} cores, {model}"


def finish(outcome: Outcome, *, save: bool) -> None:
    """Print the table, save it, and print the closing line."""
    lines = ["| " + " | ".join(outcome.columns) + " |", "|" + "---|" * len(outcome.columns)]
    lines += ["| " + " | ".join(row) + " |" for row in outcome.rows]
    text = "\n".join([*lines, "", *outcome.notes])
    print(text)
    closing = {"benchmark": outcome.benchmark, "hardware": hardware()}
    line = json.dumps(closing | {name: getattr(outcome, name) for name in ("ratios", "limits", "peers")})
    if save:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        RESULTS.mkdir(exist_ok=True)
        target = RESULTS / f"{outcome.benchmark}_{os.cpu_count()}cores_{today}.md"
        target.write_text(f"# {outcome.benchmark}\n\n{hardware()}, {today}\n\n{text}\n", encoding="utf-8")
        target.with_suffix(".json").write_text(f"{line}\n", encoding="utf-8")
        print(f"saved in {target}")
    print(line)
