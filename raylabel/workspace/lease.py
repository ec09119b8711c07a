"""Leases: one driver at a time, and one review server beside it, told apart by fencing numbers.

`driver.lease/000007.json` is the seventh driver's. Whoever creates the next number holds the workspace; a
number is free to be followed once its heartbeat is older than 60 s, once it was given back, or once its
process is gone from this machine. A driver that finds a higher number than its own stops.
Knows the store and the clock; knows nothing of what the holders do.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psutil

from raylabel.errors import LeaseHeld, StorageError
from raylabel.workspace.store import Store

LIFETIME_S = 60.0
HEARTBEAT_S = 15.0
DRIVER, REVIEW = "driver", "review server"
"""Who may hold a workspace: one of each kind at a time."""


@dataclass
class Lease:
    """A held lease; `check` raises once it is lost."""

    store: Store
    number: int
    writer: str
    who: str = DRIVER
    after_loss: bool = False
    """Whether the holder before never gave it back: it was killed, or its machine went away."""
    lost: str | None = field(default=None)

    def check(self) -> None:
        """Raise LeaseHeld if another one took over."""
        if self.lost is not None:
            raise LeaseHeld(self.lost)

    def beat(self) -> None:
        """Renew the lease, or notice that it is lost."""
        newest = _newest(self.store, self.who)
        if newest is not None and newest > self.number:
            self.lost = (
                f"{self.store.root}: another {self.who} (number {newest}) took over from this one ({self.number})"
            )
            return
        self.store.write(_name(self.who, self.number), _content(self.writer, released=False))

    def release(self) -> None:
        """Give the lease back, so that the next driver need not wait."""
        if self.lost is None:
            self.store.write(_name(self.who, self.number), _content(self.writer, released=True))


@contextlib.contextmanager
def hold(store: Store, who: str = DRIVER) -> Iterator[Lease]:
    """Hold the driver's lease of a workspace, or the review server's, while the block runs.

    Raises:
        LeaseHeld: another one holds it.
    """
    lease = acquire(store, who)
    stop = threading.Event()
    thread = threading.Thread(target=_keep, args=(lease, stop), name=f"{who} lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        stop.set()
        thread.join()
        lease.release()


def acquire(store: Store, who: str = DRIVER) -> Lease:
    """Take the lease, or raise LeaseHeld with its holder and when to try again."""
    newest, after_loss = _newest(store, who), False
    if newest is not None:
        holder = json.loads(store.read(_name(who, newest)))
        left = _seconds_left(holder)
        if left > 0:
            raise LeaseHeld(
                f"{store.root}: another {who} holds it (process {holder['pid']} on {holder['host']}); "
                f"wait for it or stop it, its lease ends {left:.0f} s after its last sign of life"
            )
        after_loss = not holder["released"]
    number, writer = (newest or 0) + 1, uuid.uuid4().hex
    lease = Lease(store=store, number=number, writer=writer, who=who, after_loss=after_loss)
    if not store.create(_name(who, lease.number), _content(lease.writer, released=False)):
        raise LeaseHeld(f"{store.root}: another {who} took it at this moment; try again when that one is done")
    return lease


def holder_of(store: Store, who: str = DRIVER) -> dict[str, Any] | None:
    """Who holds the workspace now: host and pid; None where nobody does."""
    newest = _newest(store, who)
    if newest is None:
        return None
    holder: dict[str, Any] = json.loads(store.read(_name(who, newest)))
    return {"host": holder["host"], "pid": holder["pid"]} if _seconds_left(holder) > 0 else None


def _keep(lease: Lease, stop: threading.Event) -> None:
    last = time.monotonic()
    while not stop.wait(HEARTBEAT_S) and lease.lost is None:
        try:
            lease.beat()
            last = time.monotonic()
        except StorageError as error:
            # A store that is away for a moment is no loss; one that is away for a lifetime is.
            if time.monotonic() - last > LIFETIME_S:
                lease.lost = f"the lease could not be renewed for {LIFETIME_S:.0f} s: {error}"


def _seconds_left(holder: dict[str, Any]) -> float:
    if holder["released"]:
        return 0.0
    if holder["host"] == socket.gethostname() and not _is_running(holder["pid"], holder["started"]):
        return 0.0
    return float(holder["beat"]) + LIFETIME_S - time.time()


def _is_running(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - started) < 1.0
    except psutil.NoSuchProcess:
        return False


def _newest(store: Store, who: str) -> int | None:
    names = store.list(_folder(who))
    return int(names[-1].removesuffix(".json")) if names else None


def _folder(who: str) -> str:
    return f"{who.partition(' ')[0]}.lease"


def _name(who: str, number: int) -> str:
    return f"{_folder(who)}/{number:06d}.json"


def _content(writer: str, *, released: bool) -> bytes:
    pid = os.getpid()
    return json.dumps(
        {
            "writer": writer,
            "host": socket.gethostname(),
            "pid": pid,
            "started": psutil.Process(pid).create_time(),
            "beat": time.time(),
            "released": released,
        }
    ).encode()
