import asyncio
from datetime import UTC, datetime

import pytest

from raylabel.errors import AnswersError, StorageError
from raylabel.labeling.answers import Answer, Ledger, append, collect
from raylabel.labeling.review.commits import Commits


def answer(name, annotator="ann"):
    key = f"{name}-{annotator}"
    return Answer(name, "label", "one", annotator, datetime.now(UTC), 0, "train", "review", answer_id=key)


def records(tiny):
    return [name for name in tiny.campaign.store.list("rounds/0000/answers") if name.endswith(".json")]


def test_answers_that_come_together_share_a_record(tiny):
    commits = Commits(Ledger(tiny.campaign, 0))

    async def together():
        return await asyncio.gather(*(commits.add([answer(f"i{number}")]) for number in range(20)))

    found = asyncio.run(together())
    assert [[row["id"] for row in rows] for rows in found] == [[f"i{number}"] for number in range(20)]
    assert len(records(tiny)) == 1
    assert collect(tiny.campaign, 0).num_rows == 20


def test_answers_lie_in_the_workspace_when_add_returns(tiny):
    commits = Commits(Ledger(tiny.campaign, 0))

    async def one_after_another():
        for number in range(3):
            await commits.add([answer(f"i{number}"), answer(f"j{number}")])
            assert collect(tiny.campaign, 0).num_rows == 2 * number + 2

    asyncio.run(one_after_another())
    assert len(records(tiny)) == 3


def test_what_is_known_is_not_new(tiny):
    commits = Commits(Ledger(tiny.campaign, 0))

    async def twice():
        await commits.add([answer("x")])
        return await commits.add([answer("x"), answer("y")])

    assert [row["id"] for row in asyncio.run(twice())] == ["y"]


def test_a_store_that_fails_is_told_to_all_who_wait_and_the_next_try_is_free(tiny, monkeypatch):
    ledger = Ledger(tiny.campaign, 0)
    commits = Commits(ledger)
    real = ledger.append
    fails = [True]

    def flaky(answers):
        if fails:
            fails.pop()
            raise StorageError("away")
        return real(answers)

    monkeypatch.setattr(ledger, "append", flaky)

    async def run():
        found = await asyncio.gather(*(commits.add([answer(n)]) for n in ("x", "y")), return_exceptions=True)
        assert [str(each) for each in found] == ["away", "away"]
        return await commits.add([answer("x")])

    assert [row["id"] for row in asyncio.run(run())] == ["x"]
    assert collect(tiny.campaign, 0).num_rows == 1


def test_others_answers_are_heard_of_once(tiny):
    commits = Commits(Ledger(tiny.campaign, 0))
    append(tiny.campaign, [answer("x", "bob")])

    async def look():
        return [await commits.refresh(), await commits.refresh()]

    first, second = asyncio.run(look())
    assert ([row["id"] for row in first], second) == (["x"], [])


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_is_written_for_nothing(tiny, count):
    commits = Commits(Ledger(tiny.campaign, 0))

    async def run():
        return await commits.add([answer("x")][:count])

    assert len(asyncio.run(run())) == count == len(records(tiny))


def test_answers_that_come_after_the_round_went_on_are_told_so(tiny):
    """They lie there and do not count; one that the round took with it is told saved."""
    commits = Commits(Ledger(tiny.campaign, 0))
    asyncio.run(commits.add([answer("x")]))
    tiny.resolve(0, tiny.answered([1]))
    with pytest.raises(AnswersError, match=r"the loop has gone on .* came too late"):
        asyncio.run(Commits(Ledger(tiny.campaign, 0)).add([answer("y")]))
    assert asyncio.run(Commits(Ledger(tiny.campaign, 0)).add([answer("x")])) == []
