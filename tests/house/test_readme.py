"""The README's `bash` blocks run, in order, in an empty folder; its tables and trees are true."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from raylabel import errors
from raylabel.cli import app

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()


def test_blocks_run(tmp_path: Path, s3_server: str) -> None:
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) == 2
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    env.pop("RAY_ADDRESS", None)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    demo = re.search(
        r"1,797 images: 300 audited, 200 answered for training, ([\d,]+) labeled by machine, at most 5% wrong with 95% "
        r"confidence \(truly wrong: ([\d.]+)%\), ([\d,]+) left undecided",
        done.stdout,
    )
    assert demo is not None, done.stdout
    auto, undecided = (int(demo[group].replace(",", "")) for group in (1, 3))
    assert auto + undecided == 1797 - 500
    assert float(demo[2]) <= 5
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    assert len(lines) == 1798
    assert "0 answers in questions.csv, 0 of them new; 400 rows still without an answer" in done.stdout


@pytest.mark.parametrize("verb", sorted(get_command(app).commands))  # type: ignore[attr-defined]
def test_verbs_stand_in_the_readme_and_have_an_example(verb: str) -> None:
    assert re.search(rf"[·` ]{verb}[·` ]", README)
    command = get_command(app).commands[verb]  # type: ignore[attr-defined]
    assert f"Example: raylabel {verb}" in (command.help or "")


def test_exit_codes_are_those_of_the_errors() -> None:
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", README, flags=re.MULTILINE)}
    tree = [errors.RaylabelError]
    for error in tree:
        tree.extend(error.__subclasses__())
    assert {error.exit_code for error in tree} | {0} == codes


def test_the_tree_is_there() -> None:
    house = README.split("## The house")[1]
    paths = re.findall(r"^    (\S+/?)(?: (\S+/))?  +", house, flags=re.MULTILINE)
    named = [path for pair in paths for path in pair if path]
    assert len(named) > 15
    assert [path for path in named if not (ROOT / path).exists()] == []
