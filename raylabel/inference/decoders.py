"""Ways to decode: here, under a watchdog; on a device; and one image at a time in a process that may die of it.

A decoder that crashes takes its process along, and one that hangs never returns. The first pass over a shard decodes
here: a process that dies or is stopped by its watchdog loses the shard. Such shards are done again with every image
decoded in a process apart, which tells the image that did it from its neighbours.
"""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import ray
from numpy.typing import NDArray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raylabel.config import Config
from raylabel.errors import WorkerLost

if TYPE_CHECKING:
    from raylabel.pool.whole import Undecodable

TRIES_APART = 2
"""A process may also die of its machine: an image is blamed only when a second one dies of it. With the first pass that
makes three tries in all."""

_AT_ONCE = 16


@contextmanager
def watched(timeout_s: float) -> Iterator[None]:
    """End this process if the block does not; the watchdog is a thread of C that needs no interpreter to bark."""
    faulthandler.dump_traceback_later(timeout_s, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


class LocalDecoder:
    """Decode in this process, which ends itself when an image hangs."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def decode_all(self, images: Sequence[bytes | None]) -> list[NDArray[np.uint8] | Undecodable]:
        """Decode images one after another; the watchdog is set anew every few."""
        from raylabel.pool.decode import decode  # torch is imported on the workers, not in the driver
        from raylabel.pool.whole import Undecodable

        found: list[NDArray[np.uint8] | Undecodable] = []
        for start in range(0, len(images), _AT_ONCE):
            with watched(self._config.pool.decode_timeout_s):
                for data in images[start : start + _AT_ONCE]:
                    try:
                        found.append(decode(data, self._config.backbone, max_pixels=self._config.pool.max_pixels))
                    except Undecodable as error:
                        found.append(error)
        return found


class DeviceDecoder:
    """Decode in this process, by nvJPEG where it can."""

    def __init__(self, config: Config, device: str) -> None:
        self._config, self._device = config, device

    def decode_all(self, images: Sequence[bytes | None]) -> list[NDArray[np.uint8] | Undecodable]:
        """Decode a batch at once."""
        from raylabel.pool.decode_many import decode_many

        with watched(self._config.pool.decode_timeout_s):
            config = self._config
            return decode_many(images, config.backbone, max_pixels=config.pool.max_pixels, device=self._device)


class IsolatedDecoder:
    """Decode in an actor of its own: slower by a round trip an image, and outlives whatever the image does."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._actor = self._start()

    def decode_all(self, images: Sequence[bytes | None]) -> list[NDArray[np.uint8] | Undecodable]:
        """Decode images one by one; what two processes in a row did not come back from is refused."""
        return [self._decode(data) for data in images]

    def _decode(self, data: bytes | None) -> NDArray[np.uint8] | Undecodable:
        from raylabel.pool.whole import Undecodable

        timeout_s = self._config.pool.decode_timeout_s
        for _ in range(TRIES_APART):
            try:
                [found] = ray.get(self._actor.decode_all.remote([data]), timeout=timeout_s)
            except ray.exceptions.GetTimeoutError:
                limit = f"{timeout_s:g} s (pool.decode_timeout_s)"
                reason = Undecodable("decoder_hung", f"decoding took longer than {limit}, {TRIES_APART} times")
            except ray.exceptions.RayActorError:
                reason = Undecodable("decoder_crashed", f"the decoding process died of it, {TRIES_APART} times")
            else:
                pixels: NDArray[np.uint8] | Undecodable = found
                return pixels
            ray.kill(self._actor)
            self._actor = self._start()
        return reason

    def _start(self) -> ray.actor.ActorHandle:
        # Beside its caller: another node may be lost, and has been, before Ray knows of it.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        apart = ray.remote(num_cpus=0, max_restarts=0, scheduling_strategy=here)
        actor = apart(_DecoderActor).remote(self._config)
        try:
            ray.get(actor.ready.remote())  # its start does not count against the first image
        except ray.exceptions.RayActorError as error:
            raise WorkerLost(
                f"a process that decodes one image at a time did not start ({str(error).strip().splitlines()[0]}); "
                "see that the machines have memory left, then run the same command again: it goes on from the last step"
            ) from error
        return actor


class _DecoderActor(LocalDecoder):
    """What lives in the process apart; its caller has a watch of its own, which says of whom it is."""

    def __init__(self, config: Config) -> None:
        patient = config.pool.model_copy(update={"decode_timeout_s": 2 * config.pool.decode_timeout_s})
        super().__init__(config.model_copy(update={"pool": patient}))

    def ready(self) -> None:
        """Return when the process is up."""
        import raylabel.pool.decode  # noqa: F401 - its libraries take seconds to load
