"""Two ways to decode: here, under a watchdog, and one image at a time in a process that may die of it.

A decoder that crashes takes its process along, and one that hangs never returns. The first pass over a shard decodes
here: a process that dies or is stopped by its watchdog loses the shard. Such shards are done again with every image
decoded in a process apart, which tells the image that did it from its neighbours.
"""

from __future__ import annotations

import faulthandler
from functools import partial

import numpy as np
import ray
from numpy.typing import NDArray

from raylabel.config import Config

TRIES_APART = 2
"""A process may also die of its machine: an image is blamed only when a second one dies of it. With the first pass that
makes three tries in all."""

_LOOK_EVERY = 16


class LocalDecoder:
    """Decode in this process, which ends itself when an image hangs."""

    def __init__(self, config: Config) -> None:
        from raylabel.pool.decode import decode  # torch is imported on the workers, not in the driver

        self._decode = partial(decode, backbone=config.backbone, max_pixels=config.pool.max_pixels)
        self._timeout_s = config.pool.decode_timeout_s
        self._calls = 0

    def __call__(self, data: bytes | None) -> NDArray[np.uint8]:
        """Decode one image; the watchdog is a thread of C that needs no interpreter, set anew every few images."""
        if self._calls % _LOOK_EVERY == 0:
            faulthandler.dump_traceback_later(self._timeout_s, exit=True)
        self._calls += 1
        return self._decode(data)

    def pause(self) -> None:
        """Call the watchdog off."""
        faulthandler.cancel_dump_traceback_later()
        self._calls = 0


class IsolatedDecoder:
    """Decode in an actor of its own: slower by a round trip an image, and outlives whatever the image does."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._actor = self._start()

    def __call__(self, data: bytes | None) -> NDArray[np.uint8]:
        """Decode one image.

        Raises:
            Undecodable: `decoder_crashed` or `decoder_hung` where two processes in a row did not come back from it.
        """
        from raylabel.pool.decode import Undecodable

        found = Undecodable("decoder_crashed", "")
        for _ in range(TRIES_APART):
            try:
                pixels: NDArray[np.uint8] = ray.get(
                    self._actor.decode.remote(data), timeout=self._config.pool.decode_timeout_s
                )
                return pixels
            except ray.exceptions.RayTaskError as error:
                raise error.cause from None
            except ray.exceptions.GetTimeoutError:
                limit = f"{self._config.pool.decode_timeout_s:g} s (pool.decode_timeout_s)"
                found = Undecodable("decoder_hung", f"decoding took longer than {limit}, {TRIES_APART} times")
            except ray.exceptions.RayActorError:
                found = Undecodable("decoder_crashed", f"the decoding process died of it, {TRIES_APART} times")
            ray.kill(self._actor)
            self._actor = self._start()
        raise found

    def pause(self) -> None:
        """Nothing runs between calls."""

    def _start(self) -> ray.actor.ActorHandle:
        actor = ray.remote(num_cpus=0, max_restarts=0)(_DecoderActor).remote(self._config)
        ray.get(actor.ready.remote())  # its start does not count against the first image
        return actor


class _DecoderActor:
    """What lives in the process apart."""

    def __init__(self, config: Config) -> None:
        from raylabel.pool.decode import decode

        self._decode = partial(decode, backbone=config.backbone, max_pixels=config.pool.max_pixels)

    def ready(self) -> None:
        """Return when the process is up."""

    def decode(self, data: bytes | None) -> NDArray[np.uint8]:
        """Decode one image."""
        return self._decode(data)
