import signal
import subprocess
import sys

import pytest

from raylabel.signals import Signals, Stopped


@pytest.fixture
def signals():
    """The handler, in place for one test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield Signals()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "name", "code"), [(signal.SIGINT, "SIGINT", 130), (signal.SIGTERM, "SIGTERM", 143)])
def test_the_first_signal_is_told_once(signals, capsys, number, name, code):
    assert signals.first is None
    with pytest.raises(Stopped):
        signal.raise_signal(number)
    assert signals.first == number
    assert [signals.tell(), signals.tell()] == [code, code]
    assert capsys.readouterr().err == f"raylabel: stopped by {name}; run the same command again to go on\n"


def test_an_engine_that_swallows_it_loses_nothing(signals):
    with pytest.raises(SystemError):
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException as error:
            raise SystemError("returned a result with an exception set") from error
    assert signals.first is signal.SIGTERM


def test_end_gives_signals_their_usual_effect(signals):
    signals.end()
    assert signal.getsignal(signal.SIGINT) is signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_second_signal_leaves_at_once():
    """With the code of the first one; what is being cleaned up then is left as it is."""
    code = """
import signal
from raylabel.signals import Signals
Signals()
try:
    signal.raise_signal(signal.SIGINT)
finally:
    signal.raise_signal(signal.SIGTERM)
    print("still here")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 130
    assert done.stdout == ""
    assert done.stderr == "raylabel: stopped by SIGINT; run the same command again to go on\n"
