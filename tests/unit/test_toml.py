import os
from pathlib import Path

import pytest

from raylabel.errors import ConfigError
from raylabel.toml import load, parse

SMALLEST = 'workspace = "runs/pets"\nclasses = ["cat", "dog"]\n[pool]\npath = "photos"\n'


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch):
    for name in [name for name in os.environ if name.startswith("RAYLABEL__")]:
        monkeypatch.delenv(name)


@pytest.fixture
def campaign(tmp_path):
    def written(text: str) -> Path:
        path = tmp_path / "campaign.toml"
        path.write_text(text)
        return path

    return written


def refused(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, overrides=overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_smallest_config_has_the_documented_defaults(campaign, tmp_path):
    config = load(campaign(SMALLEST))
    assert config.classes == ("cat", "dog")
    assert config.workspace == str(tmp_path / "runs/pets")
    assert config.pool.path == str(tmp_path / "photos")
    assert config.seed == 0
    assert (config.budget.train_answers, config.budget.audit_answers, config.budget.rounds) == (500, 400, 5)
    assert (config.acceptance.max_error, config.acceptance.alpha, config.acceptance.promise) == (0.05, 0.05, "auto")
    assert (config.sampling.strategy, config.sampling.cold_start) == ("auto", "herding")
    assert (config.labeling.labeler, config.labeling.wait) == ("files", "exit")
    assert (config.pool.format, config.pool.image_column, config.pool.id_column) == ("auto", "image", None)
    assert (config.backbone.name, config.backbone.weights) == ("mobilenet_v3_small", "DEFAULT")
    assert (config.backbone.image_size, config.backbone.fit) == (224, "crop")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALLEST + "[budget]\nround = 3\n", "unknown key 'budget.round': did you mean 'rounds'?"),
        (SMALLEST + "[poool]\n", "unknown key 'poool': did you mean 'pool'?"),
        ("sed = 1\n" + SMALLEST, "unknown key 'sed': did you mean 'seed'?"),
        (
            SMALLEST + "[labeling]\nzzz = 1\n",
            "unknown key 'labeling.zzz': known here: "
            "labeler, wait, poll_s, answers_per_item, consensus, gold, gold_every",
        ),
    ],
)
def test_unknown_keys_are_refused_with_the_nearest_name(campaign, text, message):
    path = campaign(text)
    assert refused(path) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('classes = ["a", "b"]\n[pool]\npath = "p"\n', "workspace"),
        ('workspace = "w"\n[pool]\npath = "p"\n', "classes"),
        ('workspace = "w"\nclasses = ["a", "b"]\n', "pool"),
        ('workspace = "w"\nclasses = ["a", "b"]\n[pool]\n', "pool.path"),
    ],
)
def test_missing_keys_are_named(campaign, text, name):
    path = campaign(text)
    assert refused(path) == f"{path}: {name!r} is missing: give it in the TOML"


def test_every_wrong_key_gets_its_own_line(campaign):
    lines = refused(campaign('sed = 1\nworkspace = "w"\n[pool]\npth = "p"\n')).splitlines()
    assert len(lines) == 4
    assert sorted(line.partition(".toml: ")[2] for line in lines) == [
        "'classes' is missing: give it in the TOML",
        "'pool.path' is missing: give it in the TOML",
        "unknown key 'pool.pth': did you mean 'path'?",
        "unknown key 'sed': did you mean 'seed'?",
    ]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ('["a"]', "classes: at least 2 are needed, got 1"),
        ("[]", "classes: at least 2 are needed, got 0"),
        ('["b", "a", "b", "c", "c"]', "classes: 'b' stands there twice"),
    ],
)
def test_classes_are_at_least_two_and_distinct(campaign, classes, message):
    path = campaign(SMALLEST.replace('["cat", "dog"]', classes))
    assert refused(path) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("budget.rounds=0", "'budget.rounds': input should be greater than or equal to 1, got 0"),
        ("acceptance.alpha=0", "'acceptance.alpha': input should be greater than 0, got 0"),
        ("acceptance.max_error=1.0", "'acceptance.max_error': input should be less than 1, got 1.0"),
        ("acceptance.max_error=nan", "'acceptance.max_error': input should be less than 1, got nan"),
        ("pool.quarantine_limit=1.5", "'pool.quarantine_limit': input should be less than or equal to 1, got 1.5"),
        (
            "pool.format=tar",
            "'pool.format': input should be 'auto', 'parquet', 'folder', 'webdataset' or 'list', got 'tar'",
        ),
        ("seed=-1", "'seed': input should be greater than or equal to 0, got -1"),
        ("budget.rounds=many", "'budget.rounds': input should be a valid integer"),
        (
            "budget.train_answers=4",
            "budget.train_answers: 4 for 5 rounds; give at least one answer a round, or fewer rounds",
        ),
        ("training.finetune_at=[1, 5]", "training.finetune_at: round 5 of 5 (numbered from 0)"),
    ],
)
def test_values_out_of_range_say_what_was_got(campaign, override, part):
    assert part in refused(campaign(SMALLEST), override)


def test_overrides_are_toml_or_else_plain_strings(campaign):
    config = load(
        campaign(SMALLEST),
        overrides=[
            "budget.rounds=3",
            "acceptance.alpha = 0.1",
            "training.flip=false",
            "training.finetune_at=[0, 2]",
            "backbone.name=resnet18",
            'sampling.strategy="entropy"',
            "backbone.mean=[0.5, 0.5, 0.5]",
            "backbone.options.width=2",
            "backbone.options.kind=wide=1",
            "pool.path=s3://bucket/a=b",
        ],
    )
    assert (config.budget.rounds, config.acceptance.alpha, config.training.flip) == (3, 0.1, False)
    assert config.training.finetune_at == (0, 2)
    assert (config.backbone.name, config.sampling.strategy) == ("resnet18", "entropy")
    assert config.backbone.mean == (0.5, 0.5, 0.5)
    assert config.backbone.options == {"width": 2, "kind": "wide=1"}
    assert config.pool.path == "s3://bucket/a=b"


def test_later_settings_win_toml_then_environment_then_set(campaign, monkeypatch):
    path = campaign("seed = 1\n" + SMALLEST + "[budget]\nrounds = 1\ntrain_answers = 11\naudit_answers = 111\n")
    monkeypatch.setenv("RAYLABEL__BUDGET__ROUNDS", "2")
    monkeypatch.setenv("RAYLABEL__BUDGET__TRAIN_ANSWERS", "22")
    monkeypatch.setenv("RAYLABEL__BACKBONE__NAME", "resnet18")
    monkeypatch.setenv("RAYLABEL__SEED", "7")
    config = load(path, overrides=["budget.rounds=3", "budget.rounds=4"])
    assert config.seed == 7
    assert config.backbone.name == "resnet18"
    assert config.budget.audit_answers == 111, "only the TOML speaks of it"
    assert config.budget.train_answers == 22, "the environment wins over the TOML"
    assert config.budget.rounds == 4, "--set wins over the environment, the last of them over the first"


def test_an_unknown_key_in_the_environment_is_refused(campaign, monkeypatch):
    monkeypatch.setenv("RAYLABEL__BUDGET__ROUNDZ", "2")
    told = "unknown key 'budget.roundz': did you mean 'rounds'?"
    assert refused(campaign(SMALLEST)) == f"RAYLABEL__BUDGET__ROUNDZ: {told}"


def test_every_mistake_names_its_own_source(campaign, monkeypatch):
    path = campaign("sed = 1\n" + SMALLEST + "[budget]\nrounds = 0\ntrain_answers = 0\n")
    monkeypatch.setenv("RAYLABEL__BUDGET__TRAIN_ANSWERS", "-1")
    monkeypatch.setenv("RAYLABEL__ACCEPTANCE__ALPHA", "2")
    found = refused(path, "backbone.nam=resnet18", "backbone.fit=bend", "acceptance.alpha=3", "acceptance.alpha=4")
    assert sorted(line.partition(": ")[::2] for line in found.splitlines()) == [
        ("--set acceptance.alpha=4", "'acceptance.alpha': input should be less than 1, got 4"),
        ("--set backbone.fit=bend", "'backbone.fit': input should be 'crop' or 'squash', got 'bend'"),
        ("--set backbone.nam=resnet18", "unknown key 'backbone.nam': did you mean 'name'?"),
        (str(path), "'budget.rounds': input should be greater than or equal to 1, got 0"),
        (str(path), "unknown key 'sed': did you mean 'seed'?"),
        (
            "RAYLABEL__BUDGET__TRAIN_ANSWERS",
            "'budget.train_answers': input should be greater than or equal to 1, got -1",
        ),
    ]


def test_malformed_overrides_are_refused(campaign, monkeypatch):
    path = campaign(SMALLEST)
    assert refused(path, "budget.rounds") == "--set budget.rounds: expected section.key=value"
    assert refused(path, "seed.x=1") == "--set seed.x=1: 'seed': input should be a valid integer, got {'x': 1}"
    assert refused(path, "workspace.x=1") == "--set workspace.x=1: 'workspace' is a value, not a section"
    monkeypatch.setenv("RAYLABEL__CLASSES__X", "1")
    assert refused(path) == "RAYLABEL__CLASSES__X: 'classes' is a value, not a section"


def test_relative_paths_start_from_the_folder_of_the_toml(campaign, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    monkeypatch.setenv("HOME", "/home/of")
    config = load(
        campaign(SMALLEST),
        overrides=["pool.path=../photos", "backbone.weights=w/own.safetensors", "backbone.name=nets/own.py:build"],
    )
    assert config.workspace == str(tmp_path / "runs/pets")
    assert config.pool.path == str(tmp_path.parent / "photos")
    assert config.backbone.weights == str(tmp_path / "w/own.safetensors")
    assert config.backbone.name == f"{tmp_path}/nets/own.py:build"
    kept = load(
        campaign(SMALLEST),
        overrides=[
            *("pool.path=s3://bucket/photos/", "workspace=~/runs"),
            *("backbone.weights=IMAGENET1K_V1", "backbone.name=own.nets:build"),
        ],
    )
    assert kept.pool.path == "s3://bucket/photos/"
    assert kept.workspace == "/home/of/runs"
    assert (kept.backbone.weights, kept.backbone.name) == ("IMAGENET1K_V1", "own.nets:build")


def test_a_submitted_job_names_every_relative_path_at_once(tmp_path):
    """Ray unpacks the working directory of a job below a folder of this name, and throws it away afterwards."""
    path = tmp_path / "working_dir_files" / "_ray_pkg_0" / "campaign.toml"
    path.parent.mkdir(parents=True)
    path.write_text(SMALLEST)
    sets = ("backbone.name=own.py:build", "backbone.weights=w/own.safetensors")
    assert refused(path, *sets) == (
        f"{path}: a submitted job runs in a throw-away copy of the folder, and these start from it: "
        "workspace = 'runs/pets', pool.path = 'photos', backbone.weights = 'w/own.safetensors', "
        "backbone.name = 'own.py'; name the TOML itself by its absolute path, or give absolute paths or s3:// URIs"
    )
    kept = ("workspace=/runs/pets", "pool.path=s3://bucket/photos")
    assert load(path, overrides=kept).workspace == "/runs/pets"
    assert refused(path, *kept, sets[0]).count(" = ") == 1


def test_a_toml_given_by_a_relative_path_anchors_at_its_own_folder(campaign, tmp_path, monkeypatch):
    campaign(SMALLEST)
    monkeypatch.chdir(tmp_path.parent)
    assert load(f"{tmp_path.name}/campaign.toml").pool.path == str(tmp_path / "photos")


def test_a_file_that_is_not_toml_is_refused_with_its_place(campaign):
    path = campaign("workspace = \n")
    assert refused(path).startswith(f"{path}: not TOML: Invalid value (at line 1")


def test_a_file_that_is_not_text_is_refused(campaign):
    path = campaign("")
    path.write_bytes(b'workspace = "\xff\xfe"')
    assert refused(path) == f"{path}: not TOML: not UTF-8 at byte 13"


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    missing = tmp_path / "none.toml"
    assert refused(missing) == f"{missing}: cannot be read (No such file or directory); `raylabel init` writes one"
    assert "cannot be read (Is a directory)" in refused(tmp_path)


def test_a_config_cannot_be_changed_and_parse_names_its_source(tmp_path):
    tree = {"workspace": "w", "classes": ["a", "b"], "pool": {"path": "p"}}
    config = parse(tree, where="here", folder=tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3
    assert config.seed == 0
    with pytest.raises(ConfigError, match=r"^here: unknown key 'seeed': did you mean 'seed'\?$"):
        parse({**tree, "seeed": 3}, where="here", folder=tmp_path)
    assert tree == {"workspace": "w", "classes": ["a", "b"], "pool": {"path": "p"}}, "the tree is left as it was"


def test_labeling_functions_start_from_the_folder_of_the_toml(tmp_path):
    text = """
workspace = "/runs"
classes = ["ant", "bee"]
pool = { path = "s3://bucket/pool" }
weak = { functions = ["lf.py:one", "/home/lf.py:two", "package.module:three"] }
"""
    path = tmp_path / "campaign.toml"
    path.write_text(text)
    assert load(path).weak.functions == (f"{tmp_path}/lf.py:one", "/home/lf.py:two", "package.module:three")
    job = tmp_path / "working_dir_files" / "_ray_pkg_0" / "campaign.toml"
    job.parent.mkdir(parents=True)
    job.write_text(text)
    with pytest.raises(ConfigError, match=r"these start from it: weak\.functions = \['lf\.py:one'\]; name the TOML"):
        load(job)


def test_a_sheet_of_gold_items_lies_beside_the_toml(tmp_path):
    path = tmp_path / "campaign.toml"
    path.write_text(SMALLEST + '[labeling]\ngold = "known/gold.csv"\n')
    assert load(path).labeling.gold == f"{tmp_path}/known/gold.csv"
    assert load(path, overrides=["labeling.gold=/home/gold.jsonl"]).labeling.gold == "/home/gold.jsonl"


@pytest.mark.parametrize("gold", ["s3://bucket/gold.csv", "gold.parquet"])
def test_a_sheet_of_gold_items_that_cannot_be_read_is_refused_at_once(tmp_path, gold):
    path = tmp_path / "campaign.toml"
    path.write_text(SMALLEST + f'[labeling]\ngold = "{gold}"\n')
    with pytest.raises(ConfigError, match=rf"labeling\.gold: '{gold}' is no \.csv or \.jsonl file on this machine"):
        load(path)
