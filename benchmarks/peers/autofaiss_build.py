"""autofaiss on its own: build an index of the vectors in a folder, and measure its recall at 10.

Run in an environment of its own, which holds autofaiss and faiss-cpu; prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import faiss
import numpy as np
from autofaiss import build_index  # type: ignore[import-not-found]

QUERIES, NEAREST = 500, 10


def main(folder: Path) -> None:
    """Build, and compare with exact search."""
    vectors = np.load(folder / "vectors.npy")
    began = time.perf_counter()
    index, facts = build_index(vectors, save_on_disk=False, metric_type="l2", max_index_memory_usage="4G", verbose=40)
    build_s = time.perf_counter() - began
    chosen = np.random.default_rng(0).choice(len(vectors), size=QUERIES, replace=False)
    _, truth = faiss.knn(vectors[chosen], vectors, NEAREST + 1)
    _, found = index.search(vectors[chosen], NEAREST + 1)
    each = zip(truth.tolist(), found.tolist(), chosen.tolist(), strict=True)
    hits = [len(set(a) & set(b) - {own}) for a, b, own in each]
    print(json.dumps({"build_s": build_s, "factory": facts["index_key"], "recall": sum(hits) / NEAREST / QUERIES}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
