import threading
import time

import pytest

from raylabel.pool.ahead import one_ahead


def threads() -> int:
    return sum(thread.name.startswith("one-ahead") for thread in threading.enumerate())


class Source:
    """Numbers, with a note of each that was made, and of the end."""

    def __init__(self, count: int, broken_at: int | None = None) -> None:
        self.made: list[int] = []
        self.threads: set[str] = set()
        self.closed = False
        self._numbers = self._make(count, broken_at)

    def _make(self, count, broken_at):
        for number in range(count):
            if number == broken_at:
                raise OSError("the disk is gone")
            self.made.append(number)
            self.threads.add(threading.current_thread().name)
            yield number

    def __iter__(self):
        return self

    def __next__(self) -> int:
        return next(self._numbers)

    def close(self) -> None:
        self.closed = True
        self._numbers.close()


def wait_until(true) -> None:
    for _ in range(500):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


@pytest.mark.parametrize("count", [0, 1, 5])
def test_elements_come_in_order_and_the_thread_ends(count):
    source = Source(count)
    assert list(one_ahead(source)) == list(range(count))
    assert source.closed and threads() == 0
    assert threading.main_thread().name not in source.threads


def test_just_one_element_is_made_ahead():
    source = Source(10)
    elements = one_ahead(source)
    assert source.made == [], "nothing before the first is asked for"
    for number in range(4):
        assert next(elements) == number
        wait_until(lambda: len(source.made) == number + 2)  # noqa: B023
        time.sleep(0.02)
        assert source.made == list(range(number + 2))
    elements.close()
    assert source.made == [0, 1, 2, 3, 4], "left early"
    assert source.closed and threads() == 0


def test_an_error_comes_in_its_place():
    source = Source(5, broken_at=2)
    elements = one_ahead(source)
    assert [next(elements), next(elements)] == [0, 1]
    with pytest.raises(OSError, match="the disk is gone"):
        next(elements)
    assert source.closed and threads() == 0


def test_an_error_of_the_consumer_ends_the_thread():
    source = Source(5)
    with pytest.raises(ZeroDivisionError):
        for number in one_ahead(source):
            1 / (number - 1)
    wait_until(lambda: threads() == 0)
    assert source.closed


def test_what_is_falsy_is_no_end():
    assert list(one_ahead(iter([0, None, "", ()]))) == [0, None, "", ()]
