"""The task that all peers do, and what they report: images of Parquet files in, embeddings out.

The model, its arithmetic, the geometry and the output are the same for everybody and live here; reading, decoding
and moving data is each peer's own. Knows nothing of raylabel: some peers run where it is not installed.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch
import torchvision
from torch import nn
from torchvision.transforms import functional

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SAMPLE_S = 0.5

Halves = np.ndarray[Any, np.dtype[np.float16]]


@dataclass(frozen=True)
class Task:
    """What to embed, with what, and where to.

    Args:
        files: Parquet files with the columns `image` (encoded bytes) and `path` (the id).
        out: folder for Parquet files with `id`, `embedding` and `done_at`, seconds since the epoch.
        backbone: of torchvision, or "none" for the mean of each image's channels.
        weights: a .safetensors file, or "none" for random ones of seed 0.
        image_size: side of the square that the model sees.
        batch_size: images in a batch.
        dtype: of the model's arithmetic.
        decode: where raylabel decodes; the others go by their own scripts.
    """

    files: tuple[str, ...]
    out: str
    backbone: str
    weights: str
    image_size: int
    batch_size: int
    dtype: str
    decode: str


def arguments(summary: str, *, resumes: bool = False) -> Task:
    """The command line that all peers share.

    Args:
        summary: of the peer.
        resumes: the output folder may hold what an earlier run wrote.
    """
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("--pool", type=Path, required=True, help="folder of Parquet files")
    parser.add_argument("--out", type=Path, required=True, help="folder for the embeddings; must be new or empty")
    parser.add_argument("--backbone", default="none")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--decode", choices=("auto", "local", "tasks"), default="auto", help="where raylabel decodes")
    parser.add_argument(
        "--limit", type=int, help="take the first files that hold so many images, whole; all by default"
    )
    options = parser.parse_args()
    if not resumes and options.out.is_dir() and any(options.out.iterdir()):
        parser.error(f"{options.out} is not empty; give a new folder")
    options.out.mkdir(parents=True, exist_ok=True)
    files, rows = [], 0
    for file in sorted(options.pool.glob("*.parquet")):
        if options.limit is None or rows < options.limit:
            files.append(str(file))
            rows += pq.read_metadata(file).num_rows
    if not files:
        parser.error(f"{options.pool}: no *.parquet in it")
    names = ("backbone", "weights", "image_size", "batch_size", "dtype", "decode")
    return Task(tuple(files), str(options.out), **{name: getattr(options, name) for name in names})


def headless(backbone: str, weights: str) -> nn.Module:
    """A torchvision model without its last linear layer, with its weights, in eval mode."""
    torch.manual_seed(0)
    module: nn.Module = torchvision.models.get_model(backbone, weights=None)
    last = [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)][-1]
    parent, _, child = last.rpartition(".")
    setattr(module.get_submodule(parent), child, nn.Identity())
    if weights != "none":
        state = safetensors.torch.load_file(weights)
        module.load_state_dict({name: value for name, value in state.items() if not name.startswith(f"{last}.")})
    return module.eval()


def save_seeded(backbone: str, weights: str) -> None:
    """Write the random weights of seed 0 to a file, for those who cannot draw the same ones."""
    safetensors.torch.save_file(headless(backbone, "none").state_dict(), weights)


class Embedder:
    """The model on the CPU: channels_last, in inference mode, in the task's dtype.

    Args:
        task: says which.
        threads: of torch; as they are by default.
    """

    def __init__(self, task: Task, threads: int | None = None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self._dtype = getattr(torch, task.dtype)
        self._module: nn.Module | None = None
        if task.backbone != "none":
            module = headless(task.backbone, task.weights)
            self._module = module.to(self._dtype).to(memory_format=torch.channels_last)
        self._mean = torch.tensor(MEAN).view(1, 3, 1, 1)
        self._std = torch.tensor(STD).view(1, 3, 1, 1)

    def embed_pixels(self, pixels: torch.Tensor) -> Halves:
        """(N, 3, S, S) uint8 -> (N, D) float16; cast and normalised here."""
        with torch.inference_mode():
            return self.embed_normalised(pixels.float().div_(255).sub_(self._mean).div_(self._std))

    def embed_normalised(self, batch: torch.Tensor) -> Halves:
        """(N, 3, S, S) float32, normalised -> (N, D) float16."""
        with torch.inference_mode():
            if self._module is None:
                found = batch.mean(dim=(2, 3))
            else:
                found = self._module(batch.to(self._dtype).contiguous(memory_format=torch.channels_last))
            halves: Halves = found.to(torch.float16).numpy()
            return halves


def square(image: Any, size: int) -> Any:
    """Cut the middle square out of a picture (a PIL image or a uint8 tensor) and bring it to size."""
    width, height = image.size if hasattr(image, "getbands") else (image.shape[2], image.shape[1])
    side = min(width, height)
    return functional.resize(functional.center_crop(image, [side, side]), [size, size], antialias=True)


def table_of(ids: list[str], embeddings: Halves) -> pa.Table:
    """One batch, done now, as everybody writes it."""
    kind = pa.binary(2 * embeddings.shape[1])
    data = [None, pa.py_buffer(np.ascontiguousarray(embeddings))]
    packed = pa.FixedSizeBinaryArray.from_buffers(kind, len(ids), data)
    return pa.table({"id": pa.array(ids), "embedding": packed, "done_at": np.full(len(ids), time.time())})


class Watch:
    """Takes the time of a peer, from the start of its process, and the memory of it and its children."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_S):
            total = 0
            for process in (self._process, *self._process.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:  # it ended since it was listed
                    continue
            self._peak = max(self._peak, total)

    def report(self, peer: str, task: Task, **more: float) -> None:
        """Stop, and print the line of JSON.

        `seconds` is the time from the end of the first batch to now, scaled to all images: images / seconds is
        the rate after the start. Memory that processes share, as Ray's object store, counts once for each of them.
        """
        ended = time.time()
        self._over.set()
        self._thread.join()
        done_at = np.concatenate(
            [
                pq.read_table(file, columns=["done_at"])["done_at"].to_numpy()
                for file in Path(task.out).glob("**/*.parquet")
            ]
        )
        images, first = len(done_at), float(done_at.min())
        after = images - int((done_at == first).sum())
        if not after:
            raise SystemExit(f"{peer}: {images} images are a single batch; give it more")
        began = self._process.create_time()
        found = {
            "peer": peer,
            "images": images,
            "seconds": (ended - first) * images / after,
            "total_s": ended - began,
            "startup_s": first - began,
            "peak_rss_bytes": self._peak,
        }
        print(json.dumps(found | more))
