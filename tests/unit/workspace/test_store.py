import os
import pickle
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import s3fs

from raylabel.errors import ConfigError, StorageError
from raylabel.workspace import Store, open_filesystem

NAMES = ["plain", "a b", "a*b", "a?b", "a[1]b", "a#b", "a%20b", "a+b", "a::b", "größe", "new\nline", "deep/er/still"]


def test_what_was_written_is_read(store):
    store.write("a/b.bin", b"\x00first")
    assert store.read("a/b.bin") == b"\x00first"
    store.write("a/b.bin", b"2nd")
    assert store.read("a/b.bin") == b"2nd", "written whole, nothing of the longer one is left"
    store.write("a/empty", b"")
    assert store.read("a/empty") == b""


def test_a_view_is_what_read_gives(store):
    data = bytes(range(256)) * 5_000
    store.write("a/b.bin", memoryview(data))
    assert store.view("a/b.bin") == data == store.read("a/b.bin")
    store.write("a/empty", b"")
    assert store.view("a/empty").nbytes == 0
    with pytest.raises(FileNotFoundError):
        store.view("a/none")


@pytest.mark.parametrize("name", NAMES)
def test_names_are_taken_as_they_are(store, name):
    store.write(f"x/{name}", name.encode())
    assert store.read(f"x/{name}") == name.encode()
    assert store.exists(f"x/{name}")
    store.remove(f"x/{name}")
    assert not store.exists(f"x/{name}")
    assert store.create(f"x/{name}", b"1") and not store.create(f"x/{name}", b"2")


def test_a_missing_object_is_told_apart_from_a_failure(store):
    began = time.monotonic()
    for name in ("none", "a409b", "503 SlowDown"):
        with pytest.raises(FileNotFoundError):
            store.read(name)
        assert not store.exists(name)
        store.remove(name)
    assert time.monotonic() - began < 2, "nothing is tried again, whatever the name"
    assert store.list("none") == []


def test_exists_is_true_of_objects_only(store):
    store.write("folder/a", b"1")
    assert store.exists("folder/a")
    assert not store.exists("folder")
    assert not store.exists("folder/b")


def test_list_gives_the_names_directly_below_sorted(store):
    for name in ("b", "a.json", "Z", "10", "9", "sub/c"):
        store.write(f"folder/{name}", b"x")
    store.write("folderish", b"x")
    assert store.list("folder") == ["10", "9", "Z", "a.json", "b"]
    assert store.list("folder/") == ["10", "9", "Z", "a.json", "b"]
    assert store.list("") == ["folderish"]
    assert store.list("folder/sub") == ["c"]


def test_walk_gives_all_names_sorted(store):
    assert store.walk() == []
    for name in ("b", "folder/sub/c", "folder/a.json", "Z"):
        store.write(name, b"x")
    store.write("folder/.draft-1", b"half")
    assert store.walk() == ["Z", "b", "folder/a.json", "folder/sub/c"]


def test_list_sees_what_another_writer_did_since(store):
    assert store.list("f") == []
    code = "import sys; from raylabel.workspace import Store; Store(sys.argv[1]).write('f/theirs', b'1')"
    store.write("f/mine", b"1")
    assert store.list("f") == ["mine"]
    subprocess.run([sys.executable, "-c", code, store.root], check=True, timeout=60)
    assert store.list("f") == ["mine", "theirs"]
    assert store.exists("f/theirs")
    store.remove("f/mine")
    assert store.list("f") == ["theirs"]


def test_remove_takes_one_object(store):
    store.write("f/a", b"1")
    store.write("f/b", b"2")
    store.remove("f/a")
    assert store.list("f") == ["b"]
    store.remove("f/a")
    assert store.read("f/b") == b"2"


def test_create_writes_once(store):
    assert store.create("r/one.json", b"mine") is True
    assert store.create("r/one.json", b"theirs") is False
    assert store.read("r/one.json") == b"mine"
    assert store.list("r") == ["one.json"], "no draft is left behind"
    store.remove("r/one.json")
    assert store.create("r/one.json", b"theirs") is True
    assert store.read("r/one.json") == b"theirs"


def test_of_twenty_writers_exactly_one_wins_each_of_ten_keys(store):
    start = threading.Barrier(20)

    def write(writer: int) -> list[bool]:
        start.wait()
        return [store.create(f"race/{key}", f"writer {writer}".encode()) for key in range(10)]

    with ThreadPoolExecutor(20) as threads:
        won = list(threads.map(write, range(20)))
    assert [sum(outcome[key] for outcome in won) for key in range(10)] == [1] * 10
    for key in range(10):
        winner = next(writer for writer in range(20) if won[writer][key])
        assert store.read(f"race/{key}") == f"writer {winner}".encode()
    assert store.list("race") == [str(key) for key in range(10)]


def test_a_reader_never_sees_half_of_a_write(store):
    versions = [bytes([number]) * 300_000 for number in range(8)]
    store.write("big", versions[0])
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            for version in versions:
                store.write("big", version)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        seen = {store.read("big") for _ in range(30)}
    finally:
        stop.set()
        writer.join()
    assert seen <= set(versions)


def test_a_store_travels_between_processes(store):
    store.write("a", b"1")
    assert pickle.loads(pickle.dumps(store)).read("a") == b"1"


def test_uri_joins_names():
    assert Store("s3://bucket/ws").uri("a/b") == "s3://bucket/ws/a/b"
    assert Store("s3://bucket/ws/").uri("a") == "s3://bucket/ws/a"
    assert Store("/data/ws").uri("") == "/data/ws"
    assert Store("/data/ws").is_local and not Store("s3://bucket/ws").is_local


def test_drafts_of_a_writer_that_died_are_not_listed(tmp_path):
    store = Store(str(tmp_path))
    store.write("f/a", b"1")
    (tmp_path / "f" / ".draft-0123").write_bytes(b"half")
    assert store.list("f") == ["a"]


def test_the_empty_object_that_marks_a_folder_is_not_listed(s3_prefix):
    s3fs.S3FileSystem().pipe({f"{s3_prefix}/f/": b"", f"{s3_prefix}/f/a": b"1"})
    assert Store(s3_prefix).list("f") == ["a"]


def test_a_bucket_that_is_not_there_is_a_storage_error(s3_server):
    store = Store("s3://there-is-no-such-bucket/ws")
    for call in (store.write, store.create):
        with pytest.raises(StorageError, match=r"^s3://there-is-no-such-bucket/ws/a: could not .* bucket does not"):
            call("a", b"1")


def test_a_place_that_nothing_serves_is_a_config_error():
    with pytest.raises(ConfigError, match=r"^foo://x/a: Protocol not known: foo; give a local path or an s3:// URI$"):
        Store("foo://x").read("a")


def test_open_filesystem_keeps_the_path_literal(s3_server):
    assert open_filesystem("/data/a::b/c.parquet")[1] == "/data/a::b/c.parquet"
    assert open_filesystem("s3://bucket/a/b#1")[1] == "bucket/a/b#1"


# --- a store that fails ----------------------------------------------------------------------------------------------

ON_A_SMALL_DISK = """
import os, sys
from raylabel.errors import StorageError
from raylabel.workspace import Store
root, kind = sys.argv[1:]
store = Store(root)
if kind == "full":
    store.write("kept", b"k")
big = os.urandom(2_000_000)
for name, call in (("write", store.write), ("create", store.create)):
    try:
        call("f/" + name, big)
    except StorageError as error:
        print(error.exit_code, str(error).replace(root, "ROOT"))
    else:
        print("no error")
print(store.list("f"), sorted(os.listdir(root)), store.read("kept") if kind == "full" else "")
"""


@pytest.mark.parametrize(("kind", "options"), [("full", "size=1m"), ("read-only", "ro")])
def test_a_full_or_read_only_disk_is_a_storage_error_and_leaves_no_half_object(tmp_path, kind, options):
    place = tmp_path / "disk"
    place.mkdir()
    unshare = shutil.which("unshare")
    mount = f"mount -t tmpfs -o {options} none {place}"
    spaces = [unshare or "unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if unshare is None or subprocess.run([*spaces, mount], capture_output=True, check=False).returncode:
        pytest.skip("this machine lends no mount namespace")
    script = tmp_path / "script.py"
    script.write_text(ON_A_SMALL_DISK)
    command = f"{mount} && exec {sys.executable} {script} {place} {kind}"
    run = subprocess.run([*spaces, command], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    *errors, left = run.stdout.splitlines()
    rest = "then run the same command again: it goes on from the last committed step"
    if kind == "full":
        reason, hint = "No space left on device", "free some space"
    else:
        reason, hint = "Read-only file system", "check the path, its rights and the network"
    assert errors == [
        f"4 ROOT/f/{verb}: could not {verb} it ({reason}); {hint}, {rest}" for verb in ("write", "create")
    ]
    assert left == ("[] ['f', 'kept'] b'k'" if kind == "full" else "[] [] ")


def test_a_file_where_a_folder_should_be_is_a_storage_error(tmp_path):
    (tmp_path / "ws").write_bytes(b"")
    store = Store(str(tmp_path / "ws"))
    calls = (lambda: store.write("a", b"1"), lambda: store.create("a", b"1"), lambda: store.read("a"))
    for call in (*calls, lambda: store.view("a")):
        with pytest.raises(StorageError) as caught:
            call()
        assert caught.value.exit_code == 4


def test_a_store_that_is_away_is_a_storage_error_never_an_absence(proxy, s3_prefix):
    proxy.shutdown()
    proxy.server_close()
    store = Store(s3_prefix)
    calls = {
        "read": lambda: store.read("a"),
        "write": lambda: store.write("a", b"1"),
        "create": lambda: store.create("a", b"1"),
        "look at": lambda: store.exists("a"),
        "list": lambda: store.list("a"),
        "remove": lambda: store.remove("a"),
    }
    for verb, call in (*calls.items(), ("read", lambda: store.view("a"))):
        with pytest.raises(StorageError, match=f"could not {verb} it .Could not connect to the endpoint URL"):
            call()


@pytest.mark.parametrize("times", [1, 100])
def test_a_record_whose_answer_was_lost_is_recognised_as_its_writers_own(proxy, s3_prefix, times):
    lost = [0]

    def fault(method: str, path: str) -> str:
        lost[0] += method == "PUT"
        return "drop" if method == "PUT" and lost[0] <= times else ""

    proxy.fault = fault
    store = Store(s3_prefix)
    assert store.create("record", b"mine, 1234") is True
    assert sum(method == "PUT" and fault == "drop" for method, _, fault in proxy.seen) >= 1
    assert store.read("record") == b"mine, 1234"
    assert store.create("record", b"theirs, 5678") is False
    assert store.read("record") == b"mine, 1234"


@pytest.mark.parametrize("answer", ["409 ConditionalRequestConflict", "503 SlowDown"])
def test_a_busy_store_is_asked_again(proxy, s3_prefix, answer):
    proxy.fault = lambda method, path: answer if len(proxy.seen) < 3 else ""
    store = Store(s3_prefix)
    assert store.create("record", b"mine") is True
    assert [fault for _, _, fault in proxy.seen] == [answer] * 3 + [""]
    assert store.read("record") == b"mine"


def test_a_store_that_stays_busy_is_a_storage_error(proxy, s3_prefix):
    proxy.fault = lambda method, path: "409 ConditionalRequestConflict" if method == "PUT" else ""
    with pytest.raises(StorageError, match="ConditionalRequestConflict") as caught:
        Store(s3_prefix).create("record", b"mine")
    assert caught.value.exit_code == 4
    assert 2 <= sum(method == "PUT" for method, _, _ in proxy.seen) <= 10


def test_credentials_that_ran_out_are_a_storage_error(proxy, s3_prefix):
    store = Store(s3_prefix)
    proxy.fault = lambda method, path: "400 ExpiredToken"
    for verb, call in {"read": lambda: store.read("a"), "create": lambda: store.create("a", b"1")}.items():
        with pytest.raises(StorageError, match=f"could not {verb} it") as caught:
            call()
        assert caught.value.exit_code == 4
    proxy.fault = lambda method, path: ""
    assert not store.exists("a")


def test_a_local_write_survives_in_the_file_itself(tmp_path):
    store = Store(str(tmp_path / "ws"))
    store.create("f/a", b"1")
    store.write("f/b", b"2")
    assert sorted(os.listdir(tmp_path / "ws" / "f")) == ["a", "b"]
    assert Path(store.uri("f/a")).stat().st_nlink == 1, "the draft that was linked is gone"


def test_files_go_up_and_down_whole(store, tmp_path):
    data = bytes(range(256)) * 20_000
    (tmp_path / "here").write_bytes(data)
    store.upload(tmp_path / "here", "deep/er/there")
    assert not (tmp_path / "here").exists()
    assert store.read("deep/er/there") == data
    store.download("deep/er/there", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data
    with pytest.raises(FileNotFoundError):
        store.download("none", tmp_path / "none")
