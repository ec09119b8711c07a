import os
import signal
import sys
import threading
import time
from itertools import chain

import pytest
import ray

from raylabel import runtime
from raylabel.config import Compute
from raylabel.errors import AnswersError, RaylabelError, UnknownName, WorkerLost
from raylabel.runtime import IN_FLIGHT, Kept, call, call_with_models, cause_of, fold, fold_here, map_tasks, shuffle
from raylabel.signals import Stopped

# Functions are made inside tests: workers do not import test modules.


@pytest.fixture(autouse=True)
def _session(ray_session):
    """All of this runs on the one session."""


def test_session_that_exists_is_used_and_left_as_it_is():
    before = ray.get_runtime_context().gcs_address
    with runtime.session(Compute(address="127.0.0.1:1")):
        assert ray.get_runtime_context().gcs_address == before
    assert ray.is_initialized()


@pytest.fixture
def terminated():
    """SIGTERM raises what the command line raises; yields the numbers of the signals that were handled."""
    before, numbers = signal.getsignal(signal.SIGTERM), []

    def stop(number, frame):
        numbers.append(number)
        raise Stopped

    signal.signal(signal.SIGTERM, stop)
    yield numbers
    signal.signal(signal.SIGTERM, before)


def test_signal_while_a_result_is_awaited_ends_the_wait(terminated):
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    began = time.monotonic()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        call(time.sleep, 8)
    assert time.monotonic() - began < 4
    assert terminated == [signal.SIGTERM]


def test_handlers_are_put_back_after_another_library_took_them(terminated):
    mine = signal.getsignal(signal.SIGTERM)
    with runtime._keeping_signals():
        signal.signal(signal.SIGTERM, lambda number, frame: None)
    assert signal.getsignal(signal.SIGTERM) is mine


def test_exit_by_another_library_s_handler_is_handed_to_the_one_before(terminated):
    """As Ray does while it starts: SIGTERM ends the process by sys.exit."""
    mine = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped), runtime._keeping_signals():
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))
        signal.raise_signal(signal.SIGTERM)
    assert terminated == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is mine


def test_exit_stays_one_where_nothing_handled_signals_before(terminated):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with pytest.raises(SystemExit, match="15"), runtime._keeping_signals():
        sys.exit(signal.SIGTERM.value)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_resources():
    found = runtime.resources()
    assert found["nodes"] == 1
    assert found["cpus"] == ray.cluster_resources()["CPU"] >= 1
    assert found["gpus"] == ray.cluster_resources().get("GPU", 0)


@pytest.mark.parametrize("address", ["nonsense", "http://here"])
def test_address_that_is_none(address):
    with pytest.raises(RaylabelError, match=f"no Ray cluster answers at '{address}'"):
        runtime._connect(address)


def test_call_runs_elsewhere():
    assert call(lambda a, b: (a * b, os.getpid()), 6, 7)[0] == 42
    assert call(os.getpid) != os.getpid()


def test_map_keeps_the_order_of_the_items():
    """More items than may be in flight; late ones finish first."""

    def slow_then_fast(item):
        import time

        time.sleep(0.3 if item == 0 else 0)
        return item * item

    num = 2 * IN_FLIGHT + 5
    assert list(map_tasks(slow_then_fast, range(num))) == [item * item for item in range(num)]


def test_map_submits_a_bounded_number_ahead():
    taken = []

    def items():
        for item in range(IN_FLIGHT + 10):
            taken.append(item)
            yield item

    found = map_tasks(lambda item: -item, items())
    assert taken == []
    assert next(found) == 0
    assert len(taken) == IN_FLIGHT
    assert next(found) == -1
    assert len(taken) == IN_FLIGHT + 1
    assert list(found) == [-item for item in range(2, IN_FLIGHT + 10)]
    assert list(map_tasks(lambda item: item, [])) == []


def test_map_sends_the_function_once():
    big = b"x" * 5_000_000
    assert list(map_tasks(lambda item: item + len(big), range(3))) == [5_000_000, 5_000_001, 5_000_002]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RaylabelError("it failed: see there"), 1),
        (AnswersError("line 3: unknown class"), 2),
        (UnknownName("backbone", "resnt18", ["resnet18", "vgg11"]), 2),
    ],
)
def test_errors_come_back_as_they_were_raised(error, code):
    def fail(item=None):
        raise error

    class Keeper:
        def fail(self):
            raise error

    kept = Kept(Keeper)
    for run in (
        lambda: call(fail),
        lambda: list(map_tasks(fail, [1])),
        lambda: fold(fail, [1, 2], lambda a, b: a),
        lambda: list(shuffle(fail, [1], lambda *values: values, num_buckets=2)),
        lambda: kept.call("fail"),
    ):
        with pytest.raises(RaylabelError) as caught:
            run()
        assert type(caught.value) is type(error)
        assert str(caught.value) == str(error)
        assert caught.value.exit_code == code
        assert "ray::" not in str(caught.value)
    kept.close()


def test_other_errors_say_what_they_are():
    def fail():
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        call(fail)


def test_cause_behind_another_error():
    inner, outer = AnswersError("line 3"), ValueError("wrapped")
    outer.__cause__ = inner
    assert cause_of(outer) is inner


@pytest.mark.parametrize("error", [ray.exceptions.WorkerCrashedError(), ray.exceptions.OutOfMemoryError("no memory")])
def test_lost_worker(error):
    found = cause_of(error)
    assert isinstance(found, WorkerLost)
    assert found.exit_code == 4
    assert type(error).__name__ in str(found)
    assert "run the same command again" in str(found)


def test_cause_of_an_error_of_another_kind_is_itself():
    for error in (ValueError("x"), ray.exceptions.GetTimeoutError("late")):
        assert cause_of(error) is error
        error.__cause__ = error  # as `raise error from error` leaves it
        assert cause_of(error) is error


def test_worker_that_is_lost_again_and_again():
    """A task is tried three times in all, then the run says so."""

    def die():
        os.kill(os.getpid(), 9)

    with pytest.raises(WorkerLost, match="trying again did not help"):
        call(die)


@pytest.mark.parametrize("folding", [fold, fold_here])
def test_fold(folding):
    assert folding(lambda item: [item], range(40), lambda a, b: a + b) == list(range(40))
    assert folding(lambda item: item, [], max) is None
    assert folding(lambda item: None, [1, 2], lambda a, b: b) is None


def test_a_fold_here_runs_in_this_process():
    assert fold_here(lambda item: {os.getpid()}, range(3), set.union) == {os.getpid()}


@pytest.mark.parametrize("num_buckets", [1, 3])
def test_shuffle(num_buckets):
    """Every word goes to the bucket of its length; each bucket is gathered once, in the order of the items."""

    def spread(line):
        buckets = [[] for _ in range(num_buckets)]
        for word in line.split():
            buckets[len(word) % num_buckets].append(word)
        return buckets

    lines = ["a bb ccc", "dddd e", "", "ff gg hhh"]
    found = list(shuffle(spread, lines, lambda *values: list(chain(*values)), num_buckets=num_buckets))
    assert (
        found
        == {
            1: [["a", "bb", "ccc", "dddd", "e", "ff", "gg", "hhh"]],
            3: [["ccc", "hhh"], ["a", "dddd", "e"], ["bb", "ff", "gg"]],
        }[num_buckets]
    )


def test_shuffle_of_nothing():
    assert list(shuffle(lambda item: [1, 2], [], lambda *values: values, num_buckets=2)) == [(), ()]


def test_what_wants_the_models_shares_a_process():
    def refuse():
        raise AnswersError("nothing there")

    first, again = call_with_models(os.getpid), call_with_models(os.getpid)
    assert first == again != os.getpid()
    with pytest.raises(AnswersError, match="nothing there"):
        call_with_models(refuse)
    assert call_with_models(os.getpid) == first


def test_kept_keeps_its_state():
    class Counter:
        def __init__(self, start, step):
            self.value, self.step = start, step

        def add(self, times=1):
            self.value += self.step * times
            return self.value, os.getpid()

    first, other = Kept(Counter, 10, 2), Kept(Counter, 0, 1)
    assert first.call("add")[0] == 12
    value, pid = first.call("add", 5)
    assert value == 22
    assert pid == first.call("add")[1] != os.getpid()
    assert other.call("add")[0] == 1
    first.close()
    assert other.call("add")[0] == 2
    other.close()
    with pytest.raises(WorkerLost):
        first.call("add")
