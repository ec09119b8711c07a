from dataclasses import replace

import numpy as np
import pytest
from campaigns import bare_settings as settings

from raylabel.campaign import (
    PURPOSES,
    Campaign,
    EncoderRef,
    Pieces,
    find_labels,
    folder,
    in_sample,
    newest_plan,
    of_version,
    priority_of,
    sample_share,
    training_answers,
)
from raylabel.workspace import Part, Record, Store


def pieces():
    return Pieces(
        (Part("a", 3, ""), Part("b", 4, ""), Part("c", 1, "")),
        ((0, 4), (5, 11), (20, 20)),
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], []),
        ([4, 0], [("a", [0, 4])]),
        ([5, 4], [("a", [4]), ("b", [5])]),
        ([20, 11, 3], [("a", [3]), ("b", [11]), ("c", [20])]),
        ([12, 19, 21], []),  # between and behind the parts
        ([20], [("c", [20])]),
    ],
)
def test_pieces_holding(rows, expected):
    found = pieces().holding(np.array(rows, dtype=np.int64))
    assert [(part.name, inside.tolist()) for part, inside in found] == expected


def test_pieces_num_rows():
    assert pieces().num_rows == 8
    assert Pieces((), ()).num_rows == 0


def test_pieces_of_a_version(tiny):
    """Parts belong to the version that added their rows; the last version has no end."""
    found = Pieces(pieces().parts, pieces().spans, (0, 5, 12, 30))
    names = [[part.name for part in found.added(version).parts] for version in range(4)]
    assert names == [["a"], ["b"], ["c"], []]
    assert [found.added(version).version for version in range(4)] == [0, 1, 2, 3]
    assert found.added(1).spans == ((5, 11),)
    assert pieces().added(0) == pieces()


def test_names_of_versions():
    assert [of_version("labels", version) for version in (0, 1, 12)] == ["labels", "labels-0001", "labels-0012"]


def test_newest_plan_and_its_labels(tiny):
    campaign = tiny.campaign
    assert (newest_plan(campaign), find_labels(campaign)) == (None, None)
    for version, starts in enumerate([[0], [0, 60], [0, 60, 70]]):
        campaign.records.commit(f"pool/plan-{version:04d}", Record(facts={"starts": starts}))
        assert newest_plan(campaign).facts["starts"] == starts
        assert find_labels(campaign) is None
        campaign.records.commit(f"{of_version('labels', version)}/labels", Record(facts={"of": version}))
        assert find_labels(campaign).facts == {"of": version}


def test_training_answers(tiny):
    table = tiny.answered(
        [1, 2, 3, 4, 5], purpose=["train", "audit", "train", "audit", "train"], labels=[0, 3, -1, -1, 9]
    )
    found = training_answers(table)
    assert found.column("row").to_pylist() == [1, 5]
    assert found.column("label_index").to_pylist() == [0, 9]
    assert training_answers(table.slice(0, 0)).num_rows == 0


def test_generators_are_the_same_in_every_run_and_apart(tiny):
    campaign = tiny.campaign
    drawn = {
        (seed, purpose, number): tuple(
            replace(campaign, config=campaign.config.model_copy(update={"seed": seed}))
            .rng(purpose, number)
            .integers(2**62, size=2)
        )
        for seed in (0, 1)
        for purpose in PURPOSES
        for number in (0, 1, 2)
    }
    assert len(set(drawn.values())) == 2 * len(PURPOSES) * 3
    assert len(set(PURPOSES.values())) == len(PURPOSES)
    assert drawn[0, "audit", 0] == tuple(campaign.rng("audit").integers(2**62, size=2))
    assert drawn[0, "select", 2] == tuple(np.random.default_rng([0, 3, 2]).integers(2**62, size=2))


def test_seed_is_an_integer_of_the_same_generator(tiny):
    assert tiny.campaign.seed("folds", 1) == int(tiny.campaign.rng("folds", 1).integers(2**31 - 1))
    assert 0 <= tiny.campaign.seed("folds", 1) < 2**31
    assert tiny.campaign.seed("folds", 0) != tiny.campaign.seed("folds", 1)
    with pytest.raises(KeyError):
        tiny.campaign.rng("whim")


def test_names(tiny):
    assert folder(0) == "rounds/0000"
    assert folder(123) == "rounds/0123"
    assert EncoderRef("abc", 8).weights == "backbones/abc.safetensors"
    assert isinstance(tiny.campaign, Campaign)


def test_share_of_the_pool_that_an_index_is_trained_on():
    """240 / sqrt(rows), a quarter at most: 240,000 of a million, 2.4 million of a hundred."""
    assert sample_share(0) == sample_share(1) == sample_share(921_600) == 0.25
    assert sample_share(1_000_000) == 0.24
    assert sample_share(100_000_000) == 0.024


def test_a_larger_pool_samples_fewer_of_the_same_rows(tmp_path):
    config = settings(tmp_path)
    campaign = Campaign(config, Store(config.workspace), None, "f")
    rows = np.arange(200_000)
    few = in_sample(campaign, rows, num_rows=100_000_000)
    many = in_sample(campaign, rows, num_rows=200_000)
    assert abs(few.mean() - 0.024) < 0.002 and abs(many.mean() - 0.25) < 0.005
    assert not (few & ~many).any()
    order = np.random.default_rng(0).permutation(rows)
    assert np.array_equal(in_sample(campaign, order, num_rows=200_000), many[order])
    assert (priority_of(campaign, rows)[few] >= 1 - 0.024).all()
