import pytest

from raylabel.inference.actors import decodes_on_device


@pytest.mark.parametrize(
    ("share", "chosen"),
    [
        (0.0, []),
        (0.25, [3, 7, 11]),
        (0.5, [1, 3, 5, 7, 9, 11]),
        (0.4, [2, 4, 7, 9]),
        (1.0, list(range(12))),
    ],
)
def test_shards_for_the_gpu_are_evenly_spread(share, chosen):
    assert [shard for shard in range(12) if decodes_on_device(shard, share)] == chosen
