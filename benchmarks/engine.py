"""The engine alone: photos decoded to 224, a model that costs nothing, embeddings written.

raylabel beside a PyTorch DataLoader loop, Ray Data's documented script and Daft; the limit is a bare loop that decodes,
one process a core. Rates count from the end of the first batch; start-up stands beside them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from contest import contest, photos, tell
from record import Outcome, arguments, finish, real_data

REPEATS = 5


def main() -> None:
    """Measure and print."""
    options, data = arguments(__doc__ or ""), real_data()
    with tempfile.TemporaryDirectory(dir=options.work) as place:
        pool = Path(place) / "pool"
        copies, limit = (1, 512) if options.quick else (4, None)
        count = photos(data / "trashnet", pool, copies=copies, limit=limit)
        task = {"backbone": "none", "image-size": "224", "batch-size": "32"}
        found = contest(pool, Path(place), task, repeats=1 if options.quick else REPEATS)
    outcome = Outcome("engine", ("workload", "engine", "images/s", "raylabel ÷ it", "start s", "peak RSS GB"))
    tell(outcome, "no-op model", found, limit=found["bare"]["decode_per_s"])
    outcome.notes = [
        f"{count:,} JPEGs of 512x384 to 224, medians of {1 if options.quick else REPEATS} interleaved runs. "
        f"Bare decoding alone: {found['bare']['decode_per_s']:,.0f} images/s.",
        f"raylabel's start: Ray {found['raylabel']['ray_s']:.1f} s, actors and first batch "
        f"{found['raylabel']['actors_s']:.1f} s; the rest is Python's imports, "
        "and looking at the model and planning the pool, which a campaign does once.",
        "Memory that processes share, as an object store, counts once for each of them.",
    ]
    finish(outcome, save=options.save)


if __name__ == "__main__":
    main()
