import pytest

from raylabel.config import Config

TREE = {"workspace": "w", "classes": ["a", "b"], "pool": {"path": "p"}}


def test_every_field_of_every_section_has_its_sentence():
    for name, field in Config.model_fields.items():
        section = field.annotation
        inner = section.model_fields if name not in ("workspace", "classes", "seed") else {name: field}
        for key, described in inner.items():
            assert (described.description or "").rstrip().endswith((".", "...")), f"{name}.{key}"


@pytest.mark.parametrize(
    ("answers", "rounds", "sizes"),
    [(500, 5, [100] * 5), (7, 3, [3, 2, 2]), (8, 3, [3, 3, 2]), (3, 3, [1, 1, 1]), (10, 1, [10])],
)
def test_round_sizes(answers, rounds, sizes):
    config = Config.model_validate({**TREE, "budget": {"train_answers": answers, "rounds": rounds}})
    assert config.round_sizes() == sizes


def test_alpha_per_look():
    every = Config.model_validate({**TREE, "budget": {"rounds": 4}})
    assert (every.num_looks(), every.alpha_per_look()) == (4, 0.0125)
    last = Config.model_validate({**TREE, "budget": {"rounds": 4}, "acceptance": {"looks": "last"}})
    assert (last.num_looks(), last.alpha_per_look()) == (1, 0.05)


def test_a_targeted_audit_is_split():
    """A seventh is drawn at first; a uniform audit is drawn at once."""
    targeted = {**TREE, "acceptance": {"audit": "targeted", "looks": "last"}}
    config = Config.model_validate(targeted)
    assert [config.split_audit(size) for size in (0, 1, 2, 7, 400)] == [(0, 0), (1, 0), (1, 1), (1, 6), (57, 343)]
    assert Config.model_validate(TREE).split_audit(400) == (400, 0)


@pytest.mark.parametrize("acceptance", [{"looks": "every"}, {"looks": "last", "by_class": True}])
def test_a_second_draw_is_for_one_look_at_one_threshold(acceptance):
    with pytest.raises(ValueError, match="draws once, at the end, for one threshold; set looks"):
        Config.model_validate({**TREE, "acceptance": {"audit": "targeted", **acceptance}})


def test_one_look_knows_no_target():
    with pytest.raises(ValueError, match="the loop cannot know that its target is met"):
        Config.model_validate({**TREE, "acceptance": {"looks": "last", "target_coverage": 0.9}})


def test_rounds_ask_for_no_more_than_there_are_candidates():
    tree = {**TREE, "budget": {"train_answers": 100, "rounds": 2}}
    assert Config.model_validate({**tree, "sampling": {"max_candidates": 50}}).round_sizes() == [50, 50]
    with pytest.raises(ValueError, match="max_candidates: 49 are fewer than the 50 answers of a round; raise it"):
        Config.model_validate({**tree, "sampling": {"max_candidates": 49}})


def test_functions_of_one_name_are_told_apart_by_nobody():
    weak = Config.model_validate({**TREE, "weak": {"functions": ["a/lf.py:one", "a/lf.py:two"]}}).weak
    assert weak.functions == ("a/lf.py:one", "a/lf.py:two")
    with pytest.raises(ValueError, match=r"weak\.functions: 'lf\.py:one' stands there twice; rename a function or its"):
        Config.model_validate({**TREE, "weak": {"functions": ["a/lf.py:one", "b/lf.py:one"]}})
