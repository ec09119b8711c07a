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
        gpu_decode: share of the shards whose JPEGs a GPU decodes itself.
    """

    device: str
    dtype: str
    fused: bool
    compiled: bool
    batch_size: int
    threads: int
    gpu_decode: float = 0.0

    def in_words(self) -> str:
        """For people."""
        folded = ", batch norms folded" if self.fused else ""
        compiled = ", compiled" if self.compiled else ""
        return f"{self.dtype} on {self.device}{folded}{compiled}, batches of {self.batch_size}"


@dataclass(frozen=True)
class Choice:
    """An arithmetic and what led to it.

    Args:
        arithmetic: what was chosen.
        ms_per_image: forward time of what was tried, by dtype; empty where nothing was left to choose.
        why: in words.
    """

    arithmetic: Arithmetic
    ms_per_image: dict[str, float]
    why: str
