import io
import re

import pytest
from rich.console import Console

from raylabel import progress
from raylabel.progress import counting, say


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands until it is set."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "_began", 990.0)
    return now


def test_say_goes_to_stderr(capsys, clock):
    say("embed: 5 images")
    clock[0] = 2345.67
    say("[100] of 3")  # brackets are no markup off a terminal
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err == "  10.0 s  embed: 5 images\n1355.7 s  [100] of 3\n"


def test_a_line_every_30_seconds(capsys, clock):
    with counting("embed", total=1000) as count:
        for second, more in ((10, 100), (29, 100), (30, 100), (31, 50), (59, 50), (61, 200)):
            clock[0] = 1000.0 + second
            count(more)
    lines = [line.split("  ")[-1] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "embed: 300 of 1,000 images, 10/s, about 70 s left",
        "embed: 600 of 1,000 images, 10/s, about 41 s left",
    ]


def test_no_line_where_it_is_quickly_done(capsys, clock):
    with counting("embed", total=10) as count:
        clock[0] += 5
        count(10)
    assert capsys.readouterr().err == ""


def test_other_units(capsys, clock):
    with counting("write", total=4, unit="parts") as count:
        clock[0] += 40
        count(4)
    assert "write: 4 of 4 parts, 0/s, about 0 s left" in capsys.readouterr().err


def test_nothing_done_for_long(capsys, clock):
    with counting("embed", total=10) as count:
        clock[0] += 31
        count(0)
    assert capsys.readouterr().err.endswith("embed: 0 of 10 images\n")


def test_bars_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(progress, "_console", Console(stderr=True))  # it looks at its screen when it is made
    with counting("embed", total=200) as count:
        count(50)
        count(150)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "embed" in shown
    assert "200/200" in shown
    say("done")
    assert re.search(r"\d+\.\d s", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).splitlines()[-1])


def test_what_is_said_on_a_terminal_stands_there_as_it_is(monkeypatch):
    """Paths and ids may hold brackets; they are no markup."""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    say("plan: part[0:2].parquet of /data/[bold]x[/y]")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "plan: part[0:2].parquet of /data/[bold]x[/y]" in shown
