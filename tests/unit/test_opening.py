import hashlib
import json
from dataclasses import replace

import pytest
from campaigns import TRACEABLE, UNTRACEABLE
from campaigns import bare_settings as settings

from raylabel import opening as module
from raylabel import profile
from raylabel.campaign import (
    BEGUN,
)
from raylabel.errors import ConfigError, FingerprintError
from raylabel.opening import PREPARED, find_campaign, open_campaign
from raylabel.workspace import Record


def begun(config):
    """A campaign whose backbone lies in the workspace: from here on it is bound to its settings."""
    campaign = open_campaign(config)
    campaign.records.commit(BEGUN, Record())
    return campaign


def test_same_config_has_the_same_fingerprint(ray_session, tmp_path):
    first = open_campaign(settings(tmp_path / "a"))
    assert open_campaign(settings(tmp_path / "a")).fingerprint == first.fingerprint
    assert open_campaign(settings(tmp_path / "b")).fingerprint == first.fingerprint  # wherever it lies
    assert find_campaign(settings(tmp_path / "a")) == first
    assert len(first.fingerprint) == 64


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"classes": ["ant", "wasp"]}, "config.classes: there ['ant', 'bee'], now ['ant', 'wasp']"),
        ({"classes": ["bee", "ant"]}, "config.classes: there ['ant', 'bee'], now ['bee', 'ant']"),
        ({"seed": 7}, "config.seed: there 0, now 7"),
        (
            {"backbone": {"name": "tiny_cnn"}},
            "config.backbone.name: there 'mobilenet_v3_small', now 'tiny_cnn'",
        ),
        ({"pool": {"path": "/other"}}, "config.pool.path: there '/nowhere', now '/other'"),
        ({"compute": {"batch_size": 8}}, "profile.arithmetic.batch_size: there 32, now 8"),
        ({"backbone": {"options": {"depth": 3}}}, "config.backbone.options.depth: there None, now 3"),
    ],
)
def test_another_campaign_is_refused(ray_session, tmp_path, changed, line):
    before = begun(settings(tmp_path)).fingerprint
    for reopen in (open_campaign, find_campaign):
        with pytest.raises(FingerprintError, match="made with other settings") as caught:
            reopen(settings(tmp_path, **changed))
        assert f"  {line}" in str(caught.value).splitlines()
        assert "set them back to go on with it, or choose another workspace" in str(caught.value)
        assert str(tmp_path / "campaign.json") in str(caught.value)
    assert caught.value.exit_code == 2
    assert open_campaign(settings(tmp_path)).fingerprint == before


def test_a_sheet_of_gold_items_must_be_there_when_a_workspace_begins(ray_session, tmp_path):
    gold = tmp_path / "gold.csv"
    config = settings(tmp_path, labeling={"gold": str(gold)})
    with pytest.raises(ConfigError, match=rf"labeling\.gold: there is no file {gold}; a relative path starts"):
        open_campaign(config)
    gold.write_text("id,label\n")
    campaign = open_campaign(config)
    campaign.records.commit(BEGUN, Record())
    gold.unlink()
    assert open_campaign(config).fingerprint == campaign.fingerprint


@pytest.mark.parametrize("changed", [{"seed": 7}, {"budget": {"rounds": 2}}, {"pool": {"path": "/right"}}])
def test_a_workspace_without_work_is_begun_anew(ray_session, tmp_path, changed):
    """Plan and audit of the first try are gone; what is bound to the workspace is what the second one says."""
    first = open_campaign(settings(tmp_path))
    names = [f"{name}-{version:04d}" for name in PREPARED for version in (0, 1)]
    for name in names:
        first.records.commit(name, Record(facts={"of": "the first try"}))
    first.store.write("pool/plan.png", b"a picture of somebody who keeps the pool in the workspace")
    second = open_campaign(settings(tmp_path, **changed))
    assert second.fingerprint != first.fingerprint
    assert [second.records.find(name) for name in names] == [None] * 8
    assert second.store.list("pool") == ["plan.png"]
    assert find_campaign(settings(tmp_path, **changed)) == second
    with pytest.raises(FingerprintError):
        find_campaign(settings(tmp_path))


def test_the_same_settings_keep_the_plan(ray_session, tmp_path):
    first = open_campaign(settings(tmp_path))
    first.records.commit("pool/plan-0000", Record(facts={"of": "the first try"}))
    assert open_campaign(settings(tmp_path)).records.find("pool/plan-0000").facts == {"of": "the first try"}


def test_another_backbone_before_any_work_is_measured_itself(ray_session, tmp_path):
    """It is the same file, edited: its code can no longer be traced."""
    file = tmp_path / "own.py"
    own = {"name": f"{file}:build", "weights": "none", "image_size": 16}
    file.write_text(TRACEABLE)
    first = open_campaign(settings(tmp_path / "workspace", backbone=own))
    assert first.profile.arithmetic.fused
    file.write_text(UNTRACEABLE)
    second = open_campaign(settings(tmp_path / "workspace", backbone=own))
    assert not second.profile.arithmetic.fused


def test_every_difference_is_named_and_nothing_else(ray_session, tmp_path):
    begun(settings(tmp_path))
    with pytest.raises(FingerprintError) as caught:
        open_campaign(settings(tmp_path, seed=1, budget={"rounds": 2}))
    named = [line.split(":")[0].strip() for line in str(caught.value).splitlines()[1:-1]]
    assert named == ["config.budget.rounds", "config.seed"]


def test_settings_that_change_no_result_may_change(ray_session, tmp_path):
    first = open_campaign(settings(tmp_path))
    others = settings(
        tmp_path,
        labeling={"wait": "poll", "poll_s": 1.0},
        compute={"workers": 2, "device": "cpu"},
        pool={"quarantine_limit": 0.5},
    )
    again = open_campaign(others)
    assert again.fingerprint == first.fingerprint
    assert again.config == others
    assert find_campaign(others).fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("package", "line"),
    [("numpy", r"  profile\.versions\.numpy: there .*, now '99'"), ("raylabel", r"  raylabel: there .*, now '99'")],
)
def test_another_version_is_refused(ray_session, tmp_path, monkeypatch, package, line):
    begun(settings(tmp_path))
    installed = module.version
    for holder in (module, profile):
        monkeypatch.setattr(holder, "version", lambda name: "99" if name == package else installed(name))
    with pytest.raises(FingerprintError, match=line) as caught:
        open_campaign(settings(tmp_path))
    assert len(str(caught.value).splitlines()) == 3
    assert find_campaign(settings(tmp_path)).profile.versions["numpy"] != "99"  # looking needs no engine


def test_the_source_of_labeling_functions_is_bound(ray_session, tmp_path):
    """Looking at what is there asks for no source; going on with another one is refused."""
    file = tmp_path / "lf.py"
    file.write_text("def one(columns): ...\ndef two(columns): ...\n")
    names = {"weak": {"functions": [f"{file}:one", f"{file}:two"]}}
    first = begun(settings(tmp_path / "a", **names))
    tree = json.loads(first.store.read("campaign.json"))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert tree["functions"] == {"lf.py:one": digest, "lf.py:two": digest}
    assert open_campaign(settings(tmp_path / "a", **names)).fingerprint == first.fingerprint
    file.write_text(file.read_text() + "# changed\n")
    with pytest.raises(FingerprintError) as caught:
        open_campaign(settings(tmp_path / "a", **names))
    other = hashlib.sha256(file.read_bytes()).hexdigest()
    assert f"  functions.lf.py:one: there '{digest}', now '{other}'" in str(caught.value)
    file.unlink()
    assert find_campaign(settings(tmp_path / "a", **names)) == first
    with pytest.raises(ConfigError, match=r"weak\.functions: .*lf\.py cannot be imported here: FileNotFoundError"):
        open_campaign(settings(tmp_path / "b", **names))


def test_records_carry_the_fingerprint(ray_session, tmp_path):
    campaign = open_campaign(settings(tmp_path))
    campaign.records.commit("step", Record(facts={"a": 1}))
    assert campaign.records.find("step").facts == {"a": 1}
    assert json.loads((tmp_path / "step.json").read_text())["fingerprint"] == campaign.fingerprint
    with pytest.raises(FingerprintError):
        replace(campaign, fingerprint="0" * 64).records.find("step")


def test_find_what_was_never_begun(tmp_path):
    with pytest.raises(ConfigError, match="nothing was begun there; start with `raylabel run`"):
        find_campaign(settings(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_hopeless_audit_begins_nothing(tmp_path):
    with pytest.raises(ConfigError, match="cannot certify"):
        open_campaign(settings(tmp_path / "new", budget={"audit_answers": 5}))
    assert not (tmp_path / "new").exists()
