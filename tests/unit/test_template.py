import re
import tomllib

import pytest
from pydantic import BaseModel

from raylabel.config import Config
from raylabel.errors import ConfigError
from raylabel.template import write_config
from raylabel.toml import load


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "campaign.toml"
    write_config(path, pool="photos", classes="cat, dog,,bird ", workspace="s3://bucket/runs")
    return path


def settings(model: type[BaseModel], section: str = "") -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for name, field in model.model_fields.items():
        kind = field.annotation
        inner = isinstance(kind, type) and issubclass(kind, BaseModel)
        found |= settings(kind, name) if inner else {(section, name)}
    return found


def standing(text: str) -> dict[tuple[str, str], str]:
    """Every setting in the file, commented out or not, by section and name."""
    found, section = {}, ""
    for line in text.splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
        elif setting := re.fullmatch(r"(?:# )?(\w+) = (.*)", line):
            assert (section, setting[1]) not in found, "stands there once"
            found[section, setting[1]] = setting[2]
    return found


def test_the_written_file_loads_with_what_was_given_and_the_defaults(target, tmp_path):
    given = Config(
        workspace="s3://bucket/runs", classes=("cat", "dog", "bird"), pool={"path": str(tmp_path / "photos")}
    )
    assert load(target) == given


def test_only_what_was_given_is_set(target):
    assert tomllib.loads(target.read_text()) == {
        "workspace": "s3://bucket/runs",
        "classes": ["cat", "dog", "bird"],
        "pool": {"path": "photos"},
        **{name: {} for name in Config.model_fields if name not in ("workspace", "classes", "seed", "pool")},
    }


def test_every_setting_stands_there_with_its_default_and_its_sentence(target):
    text = target.read_text()
    found = standing(text)
    assert set(found) == settings(Config)
    assert found["budget", "rounds"] == "5"
    assert found["acceptance", "max_error"] == "0.05"
    assert found["training", "learning_rate"] == "0.0001"
    assert found["training", "flip"] == "true"
    assert found["backbone", "mean"] == "[0.485, 0.456, 0.406]"
    flat = " ".join(line.removeprefix("# ") for line in text.splitlines())
    for section, name in settings(Config):
        model = Config.model_fields[section].annotation if section else Config
        assert " ".join(model.model_fields[name].description.split()) in flat, f"{section}.{name}"


def test_every_commented_setting_still_loads_when_its_comment_mark_is_taken_away(target, tmp_path):
    before = load(target)
    lines = []
    for line in target.read_text().splitlines():
        setting = re.fullmatch(r"# (\w+ = .*)", line)
        lines.append(setting[1] if setting and not line.endswith('= ""') else line)
    opened = tmp_path / "opened.toml"
    opened.write_text("\n".join(lines))
    assert len(standing(opened.read_text())) == len(settings(Config))
    assert tomllib.loads(opened.read_text())["budget"] == {
        "train_answers": 500,
        "audit_answers": 400,
        "rounds": 5,
        "end_when_unpaid": False,
        "second_looks": 0,
    }
    assert load(opened) == before, "they are the defaults"


def test_a_file_that_is_there_is_never_overwritten(target):
    target.write_text("mine")
    with pytest.raises(ConfigError, match="is there already; remove it or choose another name"):
        write_config(target, pool="p", classes="a,b", workspace="w")
    assert target.read_text() == "mine"


def test_answers_that_make_no_campaign_write_nothing(tmp_path):
    target = tmp_path / "campaign.toml"
    for classes, message in [("cat", "at least 2 are needed, got 1"), ("a,b,a", "'a' stands there twice")]:
        with pytest.raises(ConfigError, match=f"^init: classes: {message}"):
            write_config(target, pool="p", classes=classes, workspace="w")
        assert not target.exists()


def test_a_folder_that_is_not_there_is_a_message_not_a_traceback(tmp_path):
    target = tmp_path / "none" / "campaign.toml"
    with pytest.raises(ConfigError, match=r"cannot be written \(No such file or directory\); choose another place"):
        write_config(target, pool="p", classes="a,b", workspace="w")


def test_odd_names_survive(tmp_path):
    names = ['say "a"', "back\\slash", "größe", "tab\there", "del\x7fete", "#5", "名前"]
    target = tmp_path / "campaign.toml"
    write_config(target, pool='a "b" # c', classes=",".join(names), workspace="w")
    config = load(target)
    assert config.classes == tuple(names)
    assert config.pool.path == str(tmp_path / 'a "b" # c')


def test_a_link_that_leads_nowhere_is_not_written_through(tmp_path):
    (tmp_path / "campaign.toml").symlink_to(tmp_path / "other.toml")
    with pytest.raises(ConfigError, match=r"cannot be written \(File exists\)"):
        write_config(tmp_path / "campaign.toml", pool="p", classes="a,b", workspace="w")
    assert not (tmp_path / "other.toml").exists()
