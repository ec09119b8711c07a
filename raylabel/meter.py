"""What a pass over the pool has done so far, and what bounds it: counts and seconds, added up from all workers.

Knows numbers alone, and lies in no folder: the process that it runs in imports nothing else, and is there at once.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Work:
    """Items done, and the seconds that workers spent on them, by stage; summed over all workers.

    Args:
        items: that were decoded, or found to be undecodable.
        read_s: reading, waits for the store included.
        decode_s: decoding and resizing.
        wait_s: model actors waiting for decoded batches; 0 where they decode themselves.
        model_s: copying to the device, forward pass and back.
        write_s: writing embeddings.
    """

    items: int = 0
    read_s: float = 0.0
    decode_s: float = 0.0
    wait_s: float = 0.0
    model_s: float = 0.0
    write_s: float = 0.0

    def merge(self, other: Work) -> Work:
        """The sum of two."""
        return Work(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def less(self, other: Work) -> Work:
        """What was added since `other`."""
        return Work(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))


_STAGES = {"read_s": "storage", "decode_s": "decode", "model_s": "model", "write_s": "write"}


def bound_by(work: Work, *, decodes_itself: bool) -> str:
    """What the pass waits for most: storage, decode, model or write.

    Args:
        work: of a stretch of time.
        decodes_itself: model actors decode, so that all stages share their time. Where tasks decode beside them, an
            actor that mostly waits is bound by what fills its batches, and by itself otherwise.
    """
    spent = asdict(work)
    if decodes_itself:
        candidates = list(_STAGES)
    elif work.wait_s > work.model_s + work.write_s:
        candidates = ["read_s", "decode_s"]
    else:
        candidates = ["model_s", "write_s"]
    return _STAGES[max(candidates, key=lambda name: spent[name])]


@dataclass(frozen=True)
class Rates:
    """What each stage alone could do on these machines, and what was done, in items a second.

    Args:
        read: if all readers only read.
        decode: if all decoders only decoded.
        model: if all model actors only ran the model.
        write: if all model actors only wrote.
        limit: reading apart, the best these stages can do together: times added up where one worker does them all, the
            slower of decoding and model where they run beside each other.
        achieved: items over time on the clock, from the end of the first batch to the end.
    """

    read: float
    decode: float
    model: float
    write: float
    limit: float
    achieved: float


def rates(work: Work, *, images: int, seconds: float, models: int, decoders: int | None) -> Rates:
    """Items a second, by stage.

    Args:
        work: of the whole pass.
        images: done in `seconds`.
        seconds: on the clock, from the end of the first batch.
        models: model actors.
        decoders: decode tasks at once; None where model actors decode themselves.
    """
    beside = decoders if decoders is not None else models

    def of(spent: float, workers: int) -> float:
        return workers * work.items / spent if spent > 0 else 0.0

    if decoders is None:
        limit = of(work.decode_s + work.model_s, models)
    else:
        limit = min(of(work.decode_s, decoders), of(work.model_s, models))
    return Rates(
        read=of(work.read_s, beside),
        decode=of(work.decode_s, beside),
        model=of(work.model_s, models),
        write=of(work.write_s, models),
        limit=limit,
        achieved=images / seconds if seconds > 0 else 0.0,
    )


class Meter:
    """Adds up what workers report, in an actor; a shard that is begun again counts from zero."""

    def __init__(self) -> None:
        self._done = Work()
        self._open: dict[int, Work] = defaultdict(Work)
        self._first: tuple[float, int] | None = None

    def begin(self, shard: int) -> None:
        """A shard is begun, perhaps once more."""
        self._open[shard] = Work()

    def add(self, shard: int, work: Work) -> None:
        """More of a shard is done."""
        if self._first is None:
            self._first = (time.time(), work.items)
        self._open[shard] = self._open[shard].merge(work)

    def end(self, shard: int) -> None:
        """A shard is done: only its sum is kept."""
        self._done = self._done.merge(self._open.pop(shard))

    def first(self) -> tuple[float, int] | None:
        """When the first items were done, in seconds since the epoch, and how many; None before that."""
        return self._first

    def total(self) -> Work:
        """Everything so far."""
        total = self._done
        for work in self._open.values():
            total = total.merge(work)
        return total
