"""The benchmarks of resuming and of memory: commands that are killed or looked at, and what their tables say."""

import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import memory
    import processes
    import resume

    return {"processes": processes, "resume": resume, "memory": memory}


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_killed_command_leaves_no_process_behind(benchmarks, tmp_path, monkeypatch):
    """One below it sits in its group, another in a session of its own and notices nothing."""
    processes = benchmarks["processes"]
    monkeypatch.setattr(processes, "GONE_WITHIN_S", 0.5)
    code = f"""
import pathlib, subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
below = [subprocess.Popen(sleep), subprocess.Popen(sleep, start_new_session=True)]
written = pathlib.Path({str(tmp_path / "pids")!r})
written.with_suffix(".part").write_text(" ".join(str(child.pid) for child in below))
written.with_suffix(".part").rename(written)
time.sleep(600)
"""
    child = processes.Child(python(code), tmp_path / "run", environment={})
    while not (tmp_path / "pids").exists():
        assert child.runs()
        time.sleep(0.01)
    below = [psutil.Process(int(pid)) for pid in (tmp_path / "pids").read_text().split()]
    assert 0 < child.kill() < 60
    assert not child.runs()
    until = time.monotonic() + 10
    while any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in below):
        assert time.monotonic() < until, below
        time.sleep(0.01)


def test_a_command_is_given_its_environment_and_says_what_went_wrong(benchmarks, tmp_path):
    processes = benchmarks["processes"]
    code = "import json, os; print('noise'); print(json.dumps({'given': os.environ['GIVEN']}))"
    child = processes.Child(python(code), tmp_path / "good", environment={"GIVEN": "here"})
    assert 0 < child.finish() < 60
    assert child.report() == {"given": "here"}
    child = processes.Child(python("import sys; sys.exit('no such pool')"), tmp_path / "bad", environment={})
    with pytest.raises(processes.PeerFailed, match=r"(?s)^exit code 1 from .*no such pool$"):
        child.finish()


def test_a_tally_adds_up_a_stretch_of_time_and_passes_over_half_a_line(benchmarks, tmp_path):
    tally = benchmarks["resume"].Tally(tmp_path)
    tally.file.write_text("10.0 32\n11.0 32\n12.5 7\n13.0 3")
    assert tally.images() == 71
    assert (tally.images(until=11.0), tally.images(since=11.0, until=12.0), tally.images(since=12.0)) == (32, 32, 7)


def resumed(resume, *, twice: int, again_s: float):
    return resume.Found(
        unbroken_s=10.0,
        start_s=3.0,
        killed_s=6.0,
        again_s=again_s,
        twice=twice,
        orphaned=5,
        missing=0,
        doubled=0,
        left=1,
    )


@pytest.mark.parametrize(("twice", "again_s", "word"), [(512, 8.0, "held"), (513, 8.0, "MISSED"), (0, 8.1, "MISSED")])
def test_resuming_is_held_to_one_shard_a_worker_and_to_its_time(benchmarks, monkeypatch, twice, again_s, word):
    """Two workers, shards of 256; 6 s and 8 s are the limit of 1.1 x 10 s + 3 s."""
    resume = benchmarks["resume"]
    monkeypatch.setattr(resume.os, "cpu_count", lambda: 2)
    found = {"raylabel": [resumed(resume, twice=twice, again_s=again_s)]}
    found["Ray's checkpoints"] = [resumed(resume, twice=700, again_s=7.0)]
    outcome = resume.outcome_of(found, images=1_000)
    assert outcome.notes[1].endswith(f": {word}.")
    assert outcome.rows[1] == ("Ray's checkpoints", "10.0", "3.0", "6.0", "13.0", "0.93", "700", "5", "0", "0", "1")
    assert outcome.ratios["Ray's checkpoints: done twice"] == 0.7


@pytest.mark.parametrize(("spilled", "rss", "word"), [(0, 110, "held"), (0, 111, "MISSED"), (1, 110, "MISSED")])
def test_memory_is_held_to_no_spilling_and_to_its_growth(benchmarks, spilled, rss, word):
    memory = benchmarks["memory"]
    at_once = {1: [memory.Found(0, 100_000_000, 50_000_000)], 4: [memory.Found(spilled, rss * 1_000_000, 60_000_000)]}
    script = {1: [memory.Found(0, 100, 50)], 4: [memory.Found(10**9, 400, 50)]}
    outcome = memory.outcome_of({"raylabel": at_once, "ray script": script}, {1: 2_527, 4: 10_108})
    assert outcome.notes[-1].endswith(f": {word}.")
    # 10,108 x 224 x 224 x 3 bytes are 11.3 times 128 MiB.
    assert outcome.rows[1] == ("raylabel", "10,108", "11.3", "0", str(rss), "60")
    assert outcome.ratios["ray script: RSS at 4x / 1x"] == 4.0
