import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from raylabel.errors import LeaseHeld, StorageError
from raylabel.workspace import Store, hold, lease
from raylabel.workspace.lease import acquire, holder_of

HOLDER = """
import sys
from raylabel.workspace import Store, hold
with hold(Store(sys.argv[1])) as held:
    print(held.number, flush=True)
    sys.stdin.readline()
"""


class Driver:
    """A process of its own that holds the lease until it is told to stop, or killed."""

    def __init__(self, store: Store) -> None:
        command = [sys.executable, "-c", HOLDER, store.root]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.number = int(self.process.stdout.readline())

    def stop(self) -> None:
        self.process.communicate("\n", timeout=60)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=60)


@pytest.fixture
def driver(store):
    found = Driver(store)
    yield found
    if found.process.poll() is None:
        found.kill()
    found.process.stdout.close()
    found.process.stdin.close()


def leave(store: Store, number: int, **changes: object) -> None:
    """Leave a lease as another driver would have."""
    held = {
        "writer": "w",
        "host": "elsewhere",
        "pid": 4_000_000,
        "started": 0.0,
        "beat": time.time(),
        "released": False,
    }
    store.write(f"driver.lease/{number:06d}.json", json.dumps({**held, **changes}).encode())


def content(store: Store, number: int) -> dict[str, object]:
    return json.loads(store.read(f"driver.lease/{number:06d}.json"))


def test_a_second_driver_is_refused_while_the_first_lives(store, driver):
    assert driver.number == 1
    assert holder_of(store) == {"host": socket.gethostname(), "pid": driver.process.pid}
    with pytest.raises(LeaseHeld) as caught, hold(store):
        pytest.fail("two drivers at once")
    assert caught.value.exit_code == 5
    message = str(caught.value)
    assert f"another driver holds it (process {driver.process.pid} on {socket.gethostname()})" in message
    assert store.list("driver.lease") == ["000001.json"], "a refused driver leaves nothing"

    driver.stop()
    assert driver.process.returncode == 0
    assert content(store, 1)["released"] is True
    assert holder_of(store) is None
    with hold(store) as second:
        assert second.number == 2, "the number grows"


def test_a_driver_that_was_killed_is_followed_at_once(store, driver):
    driver.kill()
    assert content(store, 1)["released"] is False
    assert time.time() - content(store, 1)["beat"] < lease.LIFETIME_S, "its heartbeat would hold for long"
    assert holder_of(store) is None
    with hold(store) as second:
        assert second.number == 2


def test_the_number_grows_with_every_driver(store):
    numbers = []
    for _ in range(3):
        with hold(store) as held:
            numbers.append(held.number)
            assert holder_of(store) == {"host": socket.gethostname(), "pid": os.getpid()}
    assert numbers == [1, 2, 3]
    assert store.list("driver.lease") == ["000001.json", "000002.json", "000003.json"]
    assert holder_of(store) is None


def test_a_live_heartbeat_from_another_host_is_respected(store):
    leave(store, 7, beat=time.time() - 20, pid=123)
    assert holder_of(store) == {"host": "elsewhere", "pid": 123}
    with pytest.raises(LeaseHeld, match=r"process 123 on elsewhere.* its lease ends (39|40) s after"):
        acquire(store)


def test_an_expired_heartbeat_from_another_host_is_followed(store):
    leave(store, 7, beat=time.time() - 61)
    assert holder_of(store) is None
    taken = acquire(store)
    assert taken.number == 8
    found = content(store, 8)
    assert (found["host"], found["pid"], found["released"]) == (socket.gethostname(), os.getpid(), False)
    assert abs(found["beat"] - time.time()) < 10


def test_a_lease_that_another_host_gave_back_is_followed(store):
    leave(store, 3, released=True)
    assert acquire(store).number == 4


def test_a_process_of_the_same_number_that_started_later_is_another_one(store):
    started = psutil.Process().create_time()
    leave(store, 1, host=socket.gethostname(), pid=os.getpid(), started=started)
    with pytest.raises(LeaseHeld):
        acquire(store)
    leave(store, 1, host=socket.gethostname(), pid=os.getpid(), started=started - 3600)
    assert acquire(store).number == 2


def test_only_the_newest_lease_counts(store):
    leave(store, 1, beat=time.time())
    leave(store, 2, released=True)
    assert acquire(store).number == 3


def test_of_many_drivers_at_once_one_wins(store):
    start, won, refused = threading.Barrier(8), [], []

    def race() -> None:
        start.wait()
        try:
            won.append(acquire(store))
        except LeaseHeld as error:
            refused.append(str(error))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(refused)) == (1, 7)
    assert won[0].number == 1
    assert content(store, 1)["writer"] == won[0].writer


def test_a_beat_renews_and_a_lost_lease_is_noticed(store):
    held = acquire(store)
    leave(store, 1, **{**content(store, 1), "beat": 1.0})
    held.beat()
    held.check()
    assert time.time() - content(store, 1)["beat"] < 10

    leave(store, 2)
    held.check()
    held.beat()
    with pytest.raises(LeaseHeld, match=r"another driver \(number 2\) took over from this one \(1\)$") as caught:
        held.check()
    assert caught.value.exit_code == 5
    before = store.read("driver.lease/000001.json")
    held.release()
    assert store.read("driver.lease/000001.json") == before, "what is lost is not given back"
    assert content(store, 2)["released"] is False


def test_the_heart_beats_while_the_block_runs(store, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.05)
    with hold(store) as held:
        first = content(store, 1)["beat"]
        deadline = time.monotonic() + 20
        while content(store, 1)["beat"] == first and time.monotonic() < deadline:
            time.sleep(0.02)
        assert content(store, 1)["beat"] > first
        held.check()

        leave(store, 2)
        while held.lost is None and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(LeaseHeld, match="took over"):
            held.check()
    assert content(store, 2)["released"] is False


@pytest.fixture
def mounted(tmp_path):
    """A store's folder, and a function that takes it away (False) or brings it back (True), at once."""
    (tmp_path / "there").mkdir()
    (tmp_path / "gone").write_bytes(b"no folder")
    root, draft = tmp_path / "ws", tmp_path / "draft"

    def mount(there: bool) -> None:
        draft.symlink_to(tmp_path / ("there" if there else "gone"))
        os.replace(draft, root)

    mount(True)
    return root, mount


def test_a_store_that_is_away_for_a_lifetime_loses_the_lease(mounted, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(lease, "LIFETIME_S", 1.4)
    root, mount = mounted
    with hold(Store(str(root))) as held:
        mount(False)
        with pytest.raises(StorageError):
            held.beat()
        held.check()
        deadline = time.monotonic() + 20
        while held.lost is None and time.monotonic() < deadline:
            time.sleep(0.02)
        with pytest.raises(LeaseHeld, match=r"the lease could not be renewed for 1 s: .*/ws/driver\.lease"):
            held.check()


def test_a_store_that_is_away_for_a_moment_is_no_loss(mounted, monkeypatch):
    monkeypatch.setattr(lease, "HEARTBEAT_S", 0.05)
    root, mount = mounted
    store = Store(str(root))
    with hold(store) as held:
        mount(False)
        time.sleep(0.3)
        mount(True)
        came_back = time.time()
        deadline = time.monotonic() + 20
        while content(store, 1)["beat"] < came_back and time.monotonic() < deadline:
            time.sleep(0.02)
        held.check()
        assert content(store, 1)["beat"] >= came_back
    assert content(store, 1)["released"] is True


def test_nobody_holds_a_new_workspace(store):
    assert holder_of(store) is None
    assert acquire(store).number == 1


def test_a_review_server_holds_a_lease_of_its_own(store):
    with hold(store), hold(store, lease.REVIEW) as held:
        assert held.number == 1
        assert holder_of(store, lease.REVIEW)["pid"] == os.getpid()
        with pytest.raises(LeaseHeld, match="another review server holds it") as caught:
            acquire(store, lease.REVIEW)
        assert caught.value.exit_code == 5
    assert store.list("review.lease") == store.list("driver.lease") == ["000001.json"]
    assert holder_of(store, lease.REVIEW) is None


def test_whoever_follows_knows_whether_the_lease_was_given_back(store):
    with hold(store) as first:
        assert not first.after_loss
    with hold(store) as second:
        assert not second.after_loss
    driver = Driver(store)
    driver.kill()
    with hold(store) as fourth:
        assert (fourth.number, fourth.after_loss) == (4, True)
