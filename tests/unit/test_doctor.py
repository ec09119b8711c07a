import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from urllib.parse import urlsplit

import pytest
import s3fs
from campaigns import invoke

from raylabel.doctor import try_store
from raylabel.errors import StorageError
from raylabel.workspace import Store


@pytest.fixture
def careless_s3(s3_server, monkeypatch):
    """The S3 server behind a proxy that strips If-None-Match; every client of this test goes through it."""
    target = urlsplit(s3_server).netloc
    stripped = []

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def forward(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "if-none-match"}
            if len(headers) < len(self.headers):
                stripped.append(self.path)
            upstream = http.client.HTTPConnection(target, timeout=20)
            try:
                upstream.request(self.command, self.path, body, headers)
                answer = upstream.getresponse()
                data = answer.read()
            finally:
                upstream.close()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = forward

        def log_message(self, *arguments):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        yield stripped
    finally:
        s3fs.S3FileSystem.clear_instance_cache()
        server.shutdown()
        server.server_close()
        thread.join()


def test_local_folder(tmp_path):
    try_store(Store(str(tmp_path / "new")))
    assert list((tmp_path / "new").iterdir()) == []


def test_s3(s3_prefix):
    try_store(Store(s3_prefix))
    assert Store(s3_prefix).list("") == []


def test_store_that_ignores_the_condition_is_refused(careless_s3, s3_prefix):
    with pytest.raises(StorageError, match=r"ignores `If-None-Match: \*`, so commits cannot be told apart") as caught:
        try_store(Store(s3_prefix))
    assert s3_prefix in str(caught.value)
    assert len(careless_s3) == 2  # both creates asked for it
    assert Store(s3_prefix).list("") == []


def test_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StorageError, match=r"file/new: cannot be written \(.*Not a directory.*\); check the path and its rights$"
    ):
        try_store(Store(str(tmp_path / "file" / "new")))


def test_bucket_that_is_not_there(s3_server):
    with pytest.raises(
        StorageError,
        match=r"s3://no-such-bucket-here/x: cannot be written \(.*bucket does not exist.*\); check the name",
    ):
        try_store(Store("s3://no-such-bucket-here/x"))


def test_no_credentials(ray_session, monkeypatch):
    """The facts that were found stand before the failure."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    done = invoke("doctor", "s3://raylabel-tests/x")
    s3fs.S3FileSystem.clear_instance_cache()
    assert done.returncode == 4
    assert f"torch                  {version('torch')}" in done.stdout
    assert "s3://raylabel-tests/x: cannot be written (Unable to locate credentials)" in done.stderr
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in done.stderr


def test_facts(ray_session, tmp_path):
    place = tmp_path / "place"
    done = invoke("doctor", place, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["store"] == f"{place}: reachable, create-only writes hold"
    for name in ("raylabel", "ray", "torch", "torchvision", "pyarrow", "s3fs", "scikit-learn"):
        assert facts[name] == version(name)
    assert "not installed" in (facts["faiss-gpu"], facts["faiss-cpu"])
    assert facts["ray_nodes"] == 1
    assert facts["ray_cpus"] >= 1
    assert facts["disk_free_gb"] > 0
    if not facts["ray_gpus"]:
        assert facts["torch_sees"].startswith("CPU only, ")
