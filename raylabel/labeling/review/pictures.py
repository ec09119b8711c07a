"""Pictures as browsers get them: decoded, shrunk and encoded anew as JPEG, ahead of time, in a cache of bounded size.

Original bytes never leave the server: whatever they pretend to be, a browser gets the pixels.
Knows the pool; knows nothing of questions or people.
"""

from __future__ import annotations

import io
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from raylabel.campaign import Campaign
from raylabel.errors import AnswersError
from raylabel.pool import Item, Plan, Shard, ShardUnreadable, Want
from raylabel.pool.read import fetch_from
from raylabel.pool.whole import Undecodable, decode_whole

SIDES = {"small": 256, "large": 1_600}
"""Pixels of the longer side."""

QUALITY = 85
CACHE_BYTES = 256 << 20
BROKEN_S = 30.0
"""After so long a picture that could not be read is read again."""
READERS = 4
"""Shards that are read at once: more would keep answers waiting on a small machine."""


@dataclass(frozen=True)
class Picture:
    """A picture as JPEG, or why there is none: an error code of the quarantine, and what was found."""

    jpeg: bytes
    problem: tuple[str, str] | None = None


Key = tuple[int, str]
Work = list[tuple[Shard, NDArray[np.int64]]]


class Pictures:
    """The pictures of a pool's items.

    Args:
        campaign: whose pool.
        plan: of it.
        cache_bytes: of JPEGs that are kept.
    """

    def __init__(self, campaign: Campaign, plan: Plan, *, cache_bytes: int = CACHE_BYTES) -> None:
        self.campaign, self.plan, self.cache_bytes = campaign, plan, cache_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[Key, Picture] = OrderedDict()
        self._size = 0
        self._under_way: dict[Key, Future[Picture]] = {}
        self._broken: dict[Key, float] = {}
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="pictures")

    def close(self) -> None:
        """Stop reading; whoever waits for a picture is told."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            waiting = list(self._under_way.values())
            self._under_way.clear()
        for future in waiting:
            future.set_exception(AnswersError("the round has gone on"))

    def get(self, row: int, side: str) -> Future[Picture]:
        """One picture, as soon as it is there.

        Raises:
            IndexError: a row beyond the pool.
        """
        with self._lock:
            work = self._begin([row], side)
            if (row, side) in self._under_way:
                found = self._under_way[row, side]
            else:
                self._kept.move_to_end((row, side))
                found = Future()
                found.set_result(self._kept[row, side])
        self._submit(work, side)
        return found

    def fetch(self, rows: Iterable[int], side: str) -> None:
        """Fetch pictures ahead, as far as they are not there yet: those of one shard are read together.

        Raises:
            IndexError: a row beyond the pool.
        """
        with self._lock:
            work = self._begin(rows, side)
        self._submit(work, side)

    def _begin(self, rows: Iterable[int], side: str) -> Work:
        """What must be read for these; the lock is held."""
        # What is broken may be so for a moment only.
        for key in [key for key, at in self._broken.items() if time.monotonic() - at > BROKEN_S]:
            self._size -= len(self._kept.pop(key).jpeg) if key in self._kept else 0
            del self._broken[key]
        missing = [row for row in dict.fromkeys(rows) if (row, side) not in self._kept]
        missing = [row for row in missing if (row, side) not in self._under_way]
        work = self.plan.by_shard(missing) if missing else []
        self._under_way |= {(row, side): Future() for row in missing}
        return work

    def _submit(self, work: Work, side: str) -> None:
        for shard, held in work:
            self._readers.submit(self._read, shard, held, side)

    def _read(self, shard: Shard, rows: NDArray[np.int64], side: str) -> None:
        """Read rows of one shard and settle their futures, whatever happens."""
        try:
            items = self._items(shard, rows)
            for row in rows.tolist():
                self._settle((row, side), self._rendered(items[row], side))
        except Exception as error:  # noqa: BLE001 - whoever waits for the pictures gets it
            with self._lock:
                lost = [self._under_way.pop((row, side), None) for row in rows.tolist()]
            for future in lost:
                if future is not None:
                    future.set_exception(error)

    def _items(self, shard: Shard, rows: NDArray[np.int64]) -> dict[int, Item]:
        config = self.campaign.config
        try:
            return {i.row: i for i in fetch_from(self.plan, shard, rows, config.pool, self.campaign.store, Want())}
        except ShardUnreadable as error:
            gone = (error.code, error.message)
            return {row: Item(row, "", None, error=gone) for row in rows.tolist()}

    def _rendered(self, item: Item, side: str) -> Picture:
        if item.error is not None:
            return Picture(NOTHING, item.error)
        return render(item.image, SIDES[side], max_pixels=self.campaign.config.pool.max_pixels)

    def _settle(self, key: Key, picture: Picture) -> None:
        with self._lock:
            self._kept[key] = picture
            self._size += len(picture.jpeg)
            if picture.problem is not None:
                self._broken[key] = time.monotonic()
            while self._size > self.cache_bytes and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._size -= len(dropped.jpeg)
            future = self._under_way.pop(key, None)
        if future is not None:
            future.set_result(picture)


def render(data: bytes | None, side: int, *, max_pixels: int) -> Picture:
    """Encode an image anew, no side longer than `side`; a smaller one keeps its size."""
    try:
        image = decode_whole(data, max_pixels=max_pixels, least=side)
    except Undecodable as error:
        return Picture(NOTHING, (error.code, error.message))
    image.thumbnail((side, side))
    return Picture(_jpeg(image))


def _jpeg(image: Image.Image) -> bytes:
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=QUALITY)
    return sink.getvalue()


NOTHING = _jpeg(Image.new("RGB", (1, 1), (128, 128, 128)))
"""What a browser gets where there is no picture: one pixel, so that the page asks why."""
