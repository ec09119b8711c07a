"""Fixtures for all suites: one Ray session, one S3 server, the shared data, small pools of real images."""

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from campaigns import free_port

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("RAYLABEL_DATA", ROOT.parent / "shared" / "data"))
BUCKET = "raylabel-tests"


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real images; RAYLABEL_REQUIRE_DATA=1 turns its absence into a failure."""
    if not DATA.is_dir():
        message = f"{DATA}: no such folder; set RAYLABEL_DATA to the real images these tests need"
        if os.environ.get("RAYLABEL_REQUIRE_DATA") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return DATA


@pytest.fixture(scope="session")
def ray_session(s3_server: str) -> Iterator[str]:
    """One Ray session on this machine for every suite; yields its address, for drivers in processes of their own.

    The S3 server comes first: Ray's workers keep the environment that they were started in.
    """
    import ray

    from raylabel import runtime
    from raylabel.config import Compute

    with runtime.session(Compute()):
        yield ray.get_runtime_context().gcs_address


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real S3 over HTTP on loopback, with one bucket; the environment points every client at it."""
    port, place = free_port(), tmp_path_factory.mktemp("s3")
    endpoint = f"http://127.0.0.1:{port}"
    names = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    command = ROOT / ".venv" / "s3-server" / "bin" / "ministack"
    if not command.exists():
        pytest.fail(f"{command}: the S3 server is not installed; `make test` installs it")
    server = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SERVICES": "s3",
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(place),
    }
    log = (place.parent / "s3.log").open("w")
    process = subprocess.Popen([command], env={**os.environ, **names, **server}, stdout=log, stderr=log)
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        _await_server(endpoint, process)
        import s3fs

        s3fs.S3FileSystem().mkdir(BUCKET)
        yield endpoint
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _await_server(endpoint: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        if process.poll() is not None:
            pytest.fail(f"the S3 server ended with {process.returncode}")
        try:
            urllib.request.urlopen(endpoint, timeout=1)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the S3 server does not answer")


@pytest.fixture
def s3_prefix(s3_server: str, request: pytest.FixtureRequest) -> str:
    """An s3:// prefix of this test's own."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    return f"s3://{BUCKET}/{name}-{time.time_ns()}"
