import io
import json
import re

import pytest
from rich.console import Console

from raylabel import progress
from raylabel.progress import counted, counting, say


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
    lines = [json.loads(line) for line in found.err.splitlines()]
    assert lines == [{"at_s": 10.0, "said": "embed: 5 images"}, {"at_s": 1355.7, "said": "[100] of 3"}]


@pytest.mark.parametrize(("number", "text"), [(0, "0 shards"), (1, "1 shard"), (2, "2 shards"), (1234, "1,234 shards")])
def test_counted(number, text):
    assert counted(number, "shard") == text


def test_a_line_every_30_seconds(capsys, clock):
    with counting("embed", total=1000) as show:
        for second, done in ((10, 100), (29, 200), (30, 300), (31, 350), (59, 400), (60, 600)):
            clock[0] = 1000.0 + second
            show(done, "decode" if done < 400 else "model")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    same = {"stage": "embed", "total": 1000, "unit": "images", "per_s": 10.0}
    assert lines == [
        {"at_s": 40.0, **same, "done": 300, "bound_by": "decode", "eta_s": 70},
        {"at_s": 70.0, **same, "done": 600, "bound_by": "model", "eta_s": 40},
    ]


def test_no_line_where_it_is_quickly_done(capsys, clock):
    with counting("embed", total=10) as show:
        clock[0] += 5
        show(10)
    assert capsys.readouterr().err == ""


def test_other_units(capsys, clock):
    with counting("write", total=4, unit="parts") as show:
        clock[0] += 40
        show(4)
    found = json.loads(capsys.readouterr().err)
    assert found == {
        "at_s": 50.0,
        "stage": "write",
        "done": 4,
        "total": 4,
        "unit": "parts",
        "per_s": 0.1,
        "eta_s": 0,
    }


def test_nothing_done_for_long(capsys, clock):
    with counting("embed", total=10) as show:
        clock[0] += 31
        show(0)
    found = json.loads(capsys.readouterr().err)
    assert (found["done"], found["per_s"]) == (0, 0.0)
    assert "eta_s" not in found


def test_bars_on_a_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(progress, "_console", Console(stderr=True))  # it looks at its screen when it is made
    with counting("embed", total=200) as show:
        show(50, "decode")
        show(200, "model")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "embed" in shown
    assert "200/200" in shown
    assert "bound by model" in shown
    say("done")
    assert re.search(r"\d+\.\d s", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).splitlines()[-1])


def test_what_is_said_on_a_terminal_stands_there_as_it_is(monkeypatch):
    """Paths and ids may hold brackets; they are no markup."""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    say("plan: part[0:2].parquet of /data/[bold]x[/y]")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "plan: part[0:2].parquet of /data/[bold]x[/y]" in shown
