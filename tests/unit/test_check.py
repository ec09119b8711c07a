import hashlib
import textwrap
from pathlib import Path

import pytest
from campaigns import bare_settings as settings

from raylabel.acceptance import smallest_audit
from raylabel.check import check_audit, check_strategies, sources_of, strategy_of
from raylabel.errors import ConfigError, UnknownName
from raylabel.opening import open_campaign
from raylabel.sampling import STRATEGIES


@pytest.mark.parametrize("place", ["strategy", "cold_start"])
def test_unknown_strategy(tmp_path, place):
    with pytest.raises(UnknownName, match="unknown strategy 'margn': did you mean margin"):
        open_campaign(settings(tmp_path / "new", sampling={place: "margn"}))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", STRATEGIES)
def test_cold_start(name, tmp_path):
    config = settings(tmp_path, sampling={"cold_start": name})
    fits = "auto or herding or k_center or kmeans or probcover or random or typiclust"
    if name in fits.split(" or "):
        check_strategies(config)
        return
    with pytest.raises(ConfigError, match=f"'{name}' needs a model or answers and round 0 has none; choose {fits}"):
        check_strategies(config)


def test_audit_that_cannot_certify_names_the_least(tmp_path):
    """At 5 % over one round 59 answers are the least: 0.95 ** 59 <= 0.05 < 0.95 ** 58."""
    one = {"rounds": 1, "audit_answers": 58}
    with pytest.raises(ConfigError, match=r"58 cannot certify at most 5\.0% wrong .*: 59 is the least"):
        check_audit(settings(tmp_path, budget=one))
    check_audit(settings(tmp_path, budget={**one, "audit_answers": 59}))
    check_audit(settings(tmp_path, budget={**one, "audit_answers": 0}))


def test_a_targeted_audit_needs_the_least_in_its_second_draw(tmp_path):
    """A seventh goes to the first draw: of 69 answers 10, which leaves the 59 that are needed; of 68 they leave 58."""
    targeted = {"audit": "targeted", "looks": "last"}
    with pytest.raises(ConfigError, match=r"68 cannot certify .*: 69 is the least"):
        check_audit(settings(tmp_path, budget={"audit_answers": 68}, acceptance=targeted))
    check_audit(settings(tmp_path, budget={"audit_answers": 69}, acceptance=targeted))


def test_rounds_share_alpha(tmp_path):
    least = smallest_audit(0.05, 0.05 / 5)
    assert 0.95**least <= 0.01 < 0.95 ** (least - 1)
    check_audit(settings(tmp_path, budget={"audit_answers": least}))
    with pytest.raises(ConfigError, match=f"with 99.0% confidence a look, even if all agree: {least} is the least"):
        check_audit(settings(tmp_path, budget={"audit_answers": least - 1}))
    check_audit(settings(tmp_path, budget={"audit_answers": 59}, acceptance={"looks": "last"}))  # one look has it all


def test_rare_class_is_named(tmp_path):
    first, second = settings(tmp_path).classes[:2]
    assert strategy_of(settings(tmp_path, sampling={"strategy": f"rare:{second}"})) == "rare:1"
    assert strategy_of(settings(tmp_path, sampling={"strategy": "rare"})) == "rare"
    with pytest.raises(UnknownName, match=f"unknown class '{first}x': did you mean {first}"):
        strategy_of(settings(tmp_path, sampling={"strategy": f"rare:{first}x"}))


def test_sources_of_labeling_functions(ray_session, tmp_path):
    """Without any there are none, so that the fingerprint says nothing of them."""
    assert sources_of(settings(tmp_path)) == {}
    found = sources_of(settings(tmp_path, weak={"functions": ["textwrap:dedent"]}))
    assert found == {"functions": {"textwrap:dedent": hashlib.sha256(Path(textwrap.__file__).read_bytes()).hexdigest()}}
    with pytest.raises(UnknownName, match="unknown function of textwrap 'dedend': did you mean dedent"):
        sources_of(settings(tmp_path, weak={"functions": ["textwrap:dedend"]}))
