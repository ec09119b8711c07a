"""Folders and plain lists are read in test_read.py and test_lists.py; here what is special to many files at once."""

import http.server
import threading
from pathlib import Path

import pytest

from raylabel.config import Pool
from raylabel.errors import StorageError
from raylabel.pool import files, objects, plan_pool, read_shard

pytestmark = pytest.mark.usefixtures("ray_session")


def read(pool: Pool, store, batch_rows: int = 100):
    found = plan_pool(pool, store, labels_needed=False)
    return [
        batch
        for shard in found.shards
        for batch in read_shard(found, shard, pool=pool, store=store, batch_rows=batch_rows)
    ]


def test_many_missing_among_many_are_items_with_errors(place, workspace):
    names = [f"{number:03d}.jpg" for number in range(120)]
    for name in names:
        place.put(name, name.encode())
    found = plan_pool(place.pool(), workspace, labels_needed=False)
    for name in names[::3]:
        place.remove(name)
    batches = read_shard(found, found.shards[0], pool=place.pool(), store=workspace, batch_rows=50)
    read = [item for batch in batches for item in batch.items]
    assert [(item.row, item.id, item.image) for item in read] == [
        (number, name, None if number % 3 == 0 else name.encode()) for number, name in enumerate(names)
    ]
    assert {item.error for item in read[::3]} == {("missing", "there is no such file")}


def test_batches_are_bounded_in_bytes(folder, workspace, monkeypatch):
    monkeypatch.setattr(objects, "CHUNK_BYTES", 1_000)
    for number, size in enumerate([400, 600, 1, 2_000, 500, 501, 0]):
        folder.put(f"{number}.jpg", bytes(size))
    batches = read(folder.pool(), workspace)
    assert [[len(item.image) for item in batch.items] for batch in batches] == [
        [400, 600],
        [1],
        [2_000],
        [500],
        [501, 0],
    ]
    assert [item.row for batch in batches for item in batch.items] == list(range(7))


def test_the_next_batch_is_fetched_while_this_one_is_worked_on(folder, workspace, monkeypatch):
    for number in range(9):
        folder.put(f"{number}.jpg", b"%d" % number)
    found = plan_pool(folder.pool(), workspace, labels_needed=False)
    fetched: list[list[str]] = []
    second = threading.Event()
    real = files.get_objects

    def noted(uris):
        fetched.append([Path(uri).name for uri in uris])
        if len(fetched) == 2:
            second.set()
        return real(uris)

    monkeypatch.setattr(files, "get_objects", noted)
    batches = read_shard(found, found.shards[0], pool=folder.pool(), store=workspace, batch_rows=3)
    assert [item.image for item in next(batches).items] == [b"0", b"1", b"2"]
    assert second.wait(10), "nobody has asked for it yet"
    batches.close()
    assert fetched == [["0.jpg", "1.jpg", "2.jpg"], ["3.jpg", "4.jpg", "5.jpg"]], "left early, nothing more is fetched"


@pytest.fixture
def web():
    """A web server on loopback: what it answers by path; every other path is 404."""
    answers = {"/a%20b.jpg?x=1": (200, b"one"), "/no.jpg": (403, b""), "/left.jpg": (410, b""), "/sick.jpg": (500, b"")}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answers.get(self.path, (404, b"<html>Not Found</html>"))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_list_may_mix_disk_s3_and_http(folder, s3_prefix, workspace, web):
    folder.put("here.jpg", b"here")
    type(folder)(s3_prefix).put("there.jpg", b"there")
    uris = [
        "here.jpg",
        f"{s3_prefix}/there.jpg",
        f"{web}/a%20b.jpg?x=1",
        f"{web}/none.jpg",
        f"{web}/no.jpg",
        f"{web}/left.jpg",
        f"{s3_prefix}/none.jpg",
        "s3://no-such-bucket-anywhere/a.jpg",
        f"{folder.root}/here.jpg/below.jpg",
    ]
    folder.put("a.csv", ("uri\n" + "\n".join(uris) + "\n").encode())
    (batch,) = read(Pool(path=f"{folder.root}/a.csv"), workspace)
    assert [item.id for item in batch.items] == uris
    assert [item.image for item in batch.items] == [b"here", b"there", b"one"] + [None] * 6
    codes = ["missing", "forbidden", "missing", "missing", "missing", "missing"]
    assert [item.error[0] for item in batch.items[3:]] == codes


def test_a_web_server_that_fails_is_a_storage_error(folder, workspace, web):
    folder.put("a.csv", f"uri\n{web}/sick.jpg\n".encode())
    with pytest.raises(StorageError, match=r"/sick\.jpg: could not be read \(500, .*run the same command again"):
        read(Pool(path=f"{folder.root}/a.csv"), workspace)
