"""How a backbone computes. Plain data, without torch: a campaign records it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Arithmetic:
    """How a backbone computes; everything here changes the last bits of its embeddings.

    Args:
        device: "cpu" or "cuda".
        dtype: "float32" or "bfloat16", of weights and activations.
        fused: batch norms are folded into the convolutions before them.
        compiled: the module goes through torch.compile.
        batch_size: every batch is padded to this many images, so that one image's embedding never depends on
            how many others came with it, and one compiled shape does for all.
        threads: torch's, on a CPU.
    """

    device: str
    dtype: str
    fused: bool
    compiled: bool
    batch_size: int
    threads: int
