"""A store on a local disk and in S3, and a proxy before the S3 server that does harm on demand."""

import http.client
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import s3fs

from raylabel.workspace import Store


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty place of this test's own; every test that takes it runs on both kinds."""
    if request.param == "local":
        return Store(str(tmp_path / "ws"))
    return Store(request.getfixturevalue("s3_prefix"))


class FaultProxy(ThreadingHTTPServer):
    """Passes requests on to a real S3 server; `fault` decides what becomes of each.

    fault: (method, path) -> "" to pass it on, "drop" to pass it on and cut the line before the answer, or an
    S3 error code with its HTTP status, as in "503 SlowDown", to answer so without passing it on.
    """

    daemon_threads = True

    def __init__(self, endpoint: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urllib.parse.urlsplit(endpoint).netloc
        self.seen: list[tuple[str, str, str]] = []
        self.fault: Callable[[str, str], str] = lambda method, path: ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultProxy

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.fault(self.command, self.path)
        self.server.seen.append((self.command, self.path, fault))
        if fault and fault != "drop":
            status, code = fault.split()
            text = f"<Error><Code>{code}</Code><Message>Please come again.</Message></Error>".encode()
            self._answer(int(status), [("Content-Type", "application/xml")], text)
            return
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        if fault == "drop":
            self.close_connection = True
            return
        skipped = ("transfer-encoding", "connection", "content-length")
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in skipped]
        size = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self._answer(answer.status, kept, data, size=size)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _pass

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes, size: str | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", size or str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """A proxy that every S3 client of this test goes through."""
    server = FaultProxy(s3_server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        yield server
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.shutdown()
        thread.join()
        server.server_close()
