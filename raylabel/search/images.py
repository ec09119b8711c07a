"""Pictures of a look-up: embedded as the pool was, and as thumbnails. In this process: no Ray session is started.

One look-up embeds few images; starting Ray takes longer than that, and a campaign at work needs the cores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from raylabel.errors import ConfigError
from raylabel.models.arithmetic import Arithmetic
from raylabel.pool import Item, Shard, ShardUnreadable, Want
from raylabel.pool.read import fetch_from
from raylabel.progress import say
from raylabel.reporting.sheet import SIDE
from raylabel.search.opened import Opened, side_by_side
from raylabel.search.queries import Query

CPU_BATCH = 32


def with_vectors(opened: Opened, queries: Sequence[Query]) -> list[Query]:
    """Embed the image files among queries with the campaign's own backbone, decoder and arithmetic.

    Where the campaign computes on a GPU and this machine has none, the backbone runs here in float32 on the CPU.

    Raises:
        ConfigError: a file that cannot be decoded, or that the backbone makes no finite numbers of.
    """
    files = [query for query in queries if query.image is not None]
    if not files:
        return list(queries)
    vectors = iter(_embed(opened, [_pixels(opened, query) for query in files]))
    found = [query if query.image is None else replace(query, vector=next(vectors)) for query in queries]
    for query in found:
        assert query.vector is not None, "items have theirs, and files were given one"
        if not np.isfinite(query.vector).all():
            raise ConfigError(f"{query.text}: the backbone's output for it holds NaN or infinity in float16")
    return found


def _pixels(opened: Opened, query: Query) -> NDArray[np.uint8]:
    from raylabel.pool.decode import decode  # torch takes seconds to import
    from raylabel.pool.whole import Undecodable

    config = opened.campaign.config
    try:
        return decode(query.image, config.backbone, max_pixels=config.pool.max_pixels)
    except Undecodable as error:
        raise ConfigError(f"{query.text}: cannot be decoded ({error.code}: {error.message})") from error


def _embed(opened: Opened, pixels: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    from raylabel.models import backbones, weights
    from raylabel.models.encode import BatchEncoder

    campaign, ref = opened.campaign, opened.ref
    encoder = backbones.build(campaign.config.backbone)
    weights.fit(encoder, weights.read(campaign.store.uri(ref.weights)), source=ref.weights)
    arithmetic = _here(campaign.profile.arithmetic)
    batches, size = BatchEncoder(encoder, arithmetic), arithmetic.batch_size
    found = [batches.encode(np.stack(pixels[start : start + size])) for start in range(0, len(pixels), size)]
    return np.concatenate(found).astype(np.float32)


def _here(arithmetic: Arithmetic) -> Arithmetic:
    import torch

    if arithmetic.device == "cpu" or torch.cuda.is_available():
        return arithmetic
    say("the campaign computes on a GPU and there is none here: the image files are embedded on the CPU in float32")
    return replace(arithmetic, device="cpu", dtype="float32", compiled=False, batch_size=CPU_BATCH)


def thumbnails(opened: Opened, rows: Iterable[int]) -> dict[int, NDArray[np.uint8] | str]:
    """Items of the pool as (SIDE, SIDE, 3) uint8, cut to size as the model sees them, or in words why not.

    Cost: the row groups, ranges or files that hold them; `READERS` shards at once.
    """
    config, store = opened.campaign.config, opened.campaign.store

    def read(work: tuple[Shard, NDArray[np.int64]]) -> tuple[Item, ...] | ShardUnreadable:
        try:
            return fetch_from(opened.plan, *work, config.pool, store, Want())
        except ShardUnreadable as error:
            return error

    found: dict[int, NDArray[np.uint8] | str] = {}
    work = opened.plan.by_shard(set(rows))
    for (_, held), items in zip(work, side_by_side(read, work), strict=True):
        if isinstance(items, ShardUnreadable):
            found |= dict.fromkeys(held.tolist(), items.code)
        else:
            found |= {item.row: item.error[0] if item.error else thumbnail(opened, item.image) for item in items}
    return found


def thumbnail(opened: Opened, image: bytes | None) -> NDArray[np.uint8] | str:
    """An encoded image as (SIDE, SIDE, 3) uint8, or in words why not."""
    from raylabel.pool.decode import decode
    from raylabel.pool.whole import Undecodable

    config = opened.campaign.config
    try:
        shape = config.backbone.model_copy(update={"image_size": SIDE})
        return decode(image, shape, max_pixels=config.pool.max_pixels)
    except Undecodable as error:
        return error.code
