"""The driver's memory does not grow with the pool: the same campaign on a pool and on four times that pool.

Real CIFAR-10 images through the small built-in backbone; each run is a driver process of its own, and what is
measured is the peak resident set of that process alone, not of Ray's workers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq
from record import Outcome, arguments, finish, real_data

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DRIVER = """
import json, resource, sys
import raylabel
report = raylabel.run(raylabel.Config.model_validate(json.load(sys.stdin)))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"rows": report["pool"]["num_rows"], "peak_mb": peak}))
"""


def measure(files: list[Path], place: Path) -> dict[str, float]:
    """Run the campaign on some of the files, in a process of its own."""
    pool = place / "pool"
    pool.mkdir(parents=True)
    for file in files:
        (pool / file.name).symlink_to(file.resolve())
    config = {
        "workspace": str(place / "workspace"),
        "classes": CLASSES,
        "pool": {"path": str(pool), "id_column": "path", "label_column": "label"},
        "backbone": {"name": "tiny_cnn", "weights": "none", "image_size": 32},
        "budget": {"train_answers": 200, "audit_answers": 300, "rounds": 2},
        "labeling": {"labeler": "oracle"},
        "acceptance": {"max_error": 0.5},
    }
    done = subprocess.run(
        [sys.executable, "-c", DRIVER], input=json.dumps(config), stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure, interleaved, and print the growth."""
    options = arguments(__doc__ or "")
    files = sorted((real_data() / "cifar10").glob("*.parquet"))
    small, large = (files[:1], files[:4]) if options.quick else (files[:3], files)
    repeats = 1 if options.quick else 3
    peaks: dict[str, list[float]] = {"1x": [], "4x": []}
    rows = {"1x": 0.0, "4x": 0.0}
    with tempfile.TemporaryDirectory(prefix="raylabel-memory-") as place:
        for repeat in range(repeats):
            for name, chosen in (("1x", small), ("4x", large)):
                found = measure(chosen, Path(place) / f"{name}-{repeat}")
                rows[name] = found["rows"]
                peaks[name].append(found["peak_mb"])
    growth = median(peaks["4x"]) / median(peaks["1x"]) - 1
    outcome = Outcome("driver_memory", ("pool", "images", "peak of the driver, median", "each run"))
    for name, found_peaks in peaks.items():
        each = ", ".join(f"{peak:,.0f}" for peak in found_peaks)
        outcome.rows.append((name, f"{rows[name]:,.0f}", f"{median(found_peaks):,.0f} MB", f"{each} MB"))
    assert pq.read_metadata(files[0]).num_rows * len(small) == rows["1x"], "every file is of one size"
    outcome.notes = [f"growth from 1x to 4x: {growth:+.1%} (10 % allowed)"]
    outcome.ratios = {"growth": round(growth, 4)}
    finish(outcome, save=options.save)


if __name__ == "__main__":
    main()
