"""Embedding with a real model: photos decoded to 224, ResNet-18 and MobileNetV2 in bfloat16, embeddings written.

raylabel beside a PyTorch DataLoader loop, Ray Data's documented script and Daft, all with the same weights, dtype and
memory format. The limit adds the times of decoding and of the forward pass, each alone, one process a core: on a CPU
they share the cores, whoever schedules them. It is given with the model as everybody runs it and as raylabel does, with
batch norms folded into the convolutions.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from contest import PEERS, contest, photos, rate, tell
from record import Outcome, arguments, finish, real_data

REPEATS = 5
IMAGES = 1_280
MODELS = ("resnet18", "mobilenet_v2")


def main() -> None:
    """Measure and print."""
    options, data = arguments(__doc__ or ""), real_data()
    repeats = 1 if options.quick else REPEATS
    outcome = Outcome("label", ("workload", "engine", "images/s", "raylabel ÷ it", "start s", "peak RSS GB"))
    with tempfile.TemporaryDirectory(dir=options.work) as place:
        pool = Path(place) / "pool"
        count = photos(data / "trashnet", pool, copies=1, file_rows=128, limit=512 if options.quick else IMAGES)
        for model in MODELS:
            weights = data / "weights" / f"{model}_imagenet.safetensors"
            if not weights.exists():
                weights = Path(place) / f"{model}.safetensors"
                save = f"import sys; sys.path.insert(0, {str(PEERS)!r}); import task; task.save_seeded(*sys.argv[1:])"
                subprocess.run([sys.executable, "-c", save, model, str(weights)], check=True)
            task = {
                "backbone": model,
                "weights": str(weights),
                "image-size": "224",
                "batch-size": "32",
                "dtype": "bfloat16",
            }
            found = contest(pool, Path(place) / model, task, repeats=repeats)
            tell(outcome, model, found, limit=found["bare"]["limit_per_s"])
            own = found["raylabel"]["limit_per_s"]
            outcome.limits[f"{model}: raylabel's own"] = round(own, 1)
            outcome.ratios[f"{model}: of its own limit"] = round(rate(found["raylabel"]) / own, 3)
    outcome.notes = [
        f"{count:,} JPEGs of 512x384 to 224, medians of {repeats} interleaved runs. "
        "raylabel's own limit adds the times that its actors spent on decoding and on the model in the same run."
    ]
    finish(outcome, save=options.save)


if __name__ == "__main__":
    main()
