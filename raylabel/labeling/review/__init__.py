"""The review page: people answer a round's questions in a browser, alone or together."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Callable, Collection
from urllib.parse import quote

import psutil
import uvicorn

from raylabel.campaign import Campaign
from raylabel.errors import ConfigError
from raylabel.labeling.review.live import Live
from raylabel.labeling.review.server import Server
from raylabel.workspace import REVIEW, hold

__all__ = ["serve"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
TOKEN = "RAYLABEL_REVIEW_TOKEN"
"""Environment variable: the token that clients must show; by default a random one, and none on loopback."""


def serve(
    campaign: Campaign, *, host: str, port: int, names: Collection[str] = (), tell: Callable[[str], None]
) -> None:
    """Serve the page until the process is stopped; beside a driver, or without one.

    Args:
        campaign: begun, its pool planned.
        host: address to listen on; beyond loopback, or behind a proxy's name, a token is wanted.
        port: to listen on; 0 for any that is free.
        names: more names that browsers may ask for the server by.
        tell: is told the page's address once it can be opened.

    Raises:
        LeaseHeld: another review server holds the workspace.
        ConfigError: the address cannot be listened on.
    """
    with hold(campaign.store, REVIEW) as lease:
        listening = _listen(host, port)
        port = listening.getsockname()[1]
        # Behind a proxy, which has names of its own, this machine is not alone either.
        alone = host in LOOPBACK and not names
        token = os.environ.get(TOKEN, "").strip() or ("" if alone else secrets.token_urlsafe(24))
        hosts = {*LOOPBACK, *names} | (set() if host in LOOPBACK else _own_names(host))
        live = Live(campaign, after_loss=lease.after_loss, check=lease.check)
        known = frozenset(name.lower() for name in hosts)
        server = Server(live, hosts=known, token=token, cookie=f"raylabel-{port}")
        shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
        shown = f"[{shown}]" if ":" in shown else shown
        tell(f"http://{shown}:{port}/{f'?token={quote(token)}' if token else ''}")
        settings = uvicorn.Config(server.app, log_level="warning", access_log=False, server_header=False)
        settings.timeout_graceful_shutdown = 3
        # Threads that make pictures would hold up the one that answers, by 5 ms each time it waits for anything.
        sys.setswitchinterval(0.0005)
        _Serving(settings, live).run(sockets=[listening])
    if live.lost is not None:
        raise live.lost


class _Serving(uvicorn.Server):
    """A server that stops once its lease is lost."""

    def __init__(self, settings: uvicorn.Config, live: Live) -> None:
        super().__init__(settings)
        self._live = live

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop."""
        return await super().on_tick(counter) or self._live.lost is not None


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(128)  # whoever comes from now on waits for the server to be ready
    except OSError as error:
        raise ConfigError(
            f"{host}:{port}: cannot be listened on ({error.strerror or error}); choose another --host or --port"
        ) from error
    return found


def _own_names(host: str) -> set[str]:
    """Every name and address that this machine goes by."""
    addresses = [a.address.partition("%")[0] for found in psutil.net_if_addrs().values() for a in found]
    return {host, socket.gethostname(), socket.getfqdn(), *addresses}
