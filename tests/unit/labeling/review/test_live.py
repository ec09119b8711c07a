import asyncio

import pyarrow as pa
import pytest
from asked_campaign import GOLD_OF_ANN

from raylabel import schema
from raylabel.errors import AnswersError, LeaseHeld, StorageError
from raylabel.labeling.answers import collect
from raylabel.labeling.review.asked import Said
from raylabel.labeling.review.live import RECLAIM_S, Live
from raylabel.workspace import Record, Store, hold, write_part


@pytest.fixture
def live(asking):
    found = Live(asking(num_train=6, num_audit=4).campaign)
    yield found
    found.close()


def look(live):
    asyncio.run(live.look())


def publish(campaign, number, rows):
    columns = {
        "row": rows,
        "id": [f"item-{row:06d}" for row in rows],
        "position": list(range(len(rows))),
        "strategy": ["margin"] * len(rows),
        "score": [0.0] * len(rows),
        "reason": [""] * len(rows),
    }
    table = pa.table(columns, schema=schema.SHORTLIST)
    part = write_part(campaign.store, f"rounds/{number:04d}/shortlist", table)
    campaign.records.commit(f"rounds/{number:04d}/shortlist", Record(parts={"shortlist": [part]}))


def answer(live, row, label=1, submission="s"):
    said = [Said(row, "label", label)]
    return asyncio.run(live.asked.answer("ann", "page", f"{submission}-{row}", said, seconds=None))


def test_the_page_follows_the_loop(live):
    campaign = live.campaign
    look(live)
    status = live.status("ann")
    assert (status["state"], status["round"], status["num_items"], status["num_open"]) == ("asking", 1, 10, 10)
    assert status["curve"] == [{"round": 0, "num_answers": 40, "accuracy": 0.75, "num_auto": 0}]
    first = live.asked
    look(live)
    assert live.asked is first
    part = write_part(campaign.store, "rounds/0001/answered", schema.RESOLVED.empty_table())
    facts = {"answers": [], "annotators": {"gold": {}}}
    campaign.records.commit("rounds/0001/answered", Record(facts=facts, parts={"resolved": [part]}))
    look(live)
    assert live.state == "working"
    facts = {"round": 1, "num_answers": 50, "cross_fitted_accuracy": None, "num_auto": 7}
    campaign.records.commit("rounds/0001/round", Record(facts=facts))
    publish(campaign, 2, [0, 1])
    look(live)
    status = live.status("ann")
    assert (status["state"], status["round"], status["num_items"]) == ("asking", 2, 2)
    assert status["curve"][1] == {"round": 1, "num_answers": 50, "accuracy": None, "num_auto": 7}
    campaign.records.commit("labels/labels", Record())
    look(live)
    assert live.state == "done"


def test_before_the_first_shortlist_it_waits(asking):
    asked = asking()
    asked.campaign.store.remove("rounds/0001/shortlist.json")
    live = Live(asked.campaign)
    look(live)
    assert (live.status("ann")["state"], live.status("ann")["round"]) == ("waiting", None)


def test_enough_wants_something_to_learn_from(live):
    look(live)
    live.curve.clear()  # as in round 0
    with pytest.raises(AnswersError, match="nothing to train on"):
        asyncio.run(live.go_on())
    answer(live, 45)
    asyncio.run(live.go_on())
    assert live.status("ann")["is_enough"]
    # The four of the audit, and the bare ones of training that have no answer.
    bare = sum(q.group is None for q in live.asked.queue.by_row.values())
    answered_bare = live.asked.queue.by_row[45].group is None
    assert (bare, live.asked.queue.num_open) == (8, bare - answered_bare)
    again = Live(live.campaign)
    look(again)
    assert again.asked.queue.num_open == live.asked.queue.num_open
    again.close()


def test_enough_is_refused_while_nothing_is_asked(live):
    with pytest.raises(AnswersError, match="no round is being asked"):
        asyncio.run(live.go_on())


def test_who_drives_is_told(live):
    look(live)
    assert live.status("ann")["driver"] is None
    with hold(Store(live.campaign.store.root)):
        look(live)
        assert live.status("ann")["driver"]["pid"] > 0


def test_a_store_that_is_away_is_told_and_looked_at_again(live, monkeypatch, capsys):
    look(live)

    async def run():
        real, fails = live._read, [3]

        def flaky():
            fails[0] -= 1
            if fails[0] >= 0:
                raise StorageError("the disk is away")
            return real()

        monkeypatch.setattr(live, "_read", flaky)
        monkeypatch.setattr("raylabel.labeling.review.live.LOOK_S", 0.01)
        looking = asyncio.create_task(live.keep_looking())
        while not live.trouble:
            await asyncio.sleep(0.005)
        while live.trouble:
            await asyncio.sleep(0.005)
        looking.cancel()

    asyncio.run(run())
    assert capsys.readouterr().err.count("the disk is away") == 1


def test_my_own_figures(live):
    look(live)
    answer(live, 45)
    status = live.status("ann")
    assert (status["mine"]["num_answers"], status["num_open_to_me"]) == (1, 9)
    assert live.status("bob")["mine"] is None
    assert collect(live.campaign, 1).num_rows == 1


def test_after_a_crash_nothing_is_given_out_until_pages_could_say_what_they_show(asking, monkeypatch):
    campaign = asking().campaign
    clock = [100.0]
    monkeypatch.setattr("raylabel.labeling.review.live.time.monotonic", lambda: clock[0])
    clean, lost = Live(campaign), Live(campaign, after_loss=True)
    for live in (clean, lost):
        look(live)
        live.open()
        live.close()
    assert clean.gives and not lost.gives
    clock[0] += RECLAIM_S
    assert lost.gives


def test_a_workspace_in_an_object_store(asking, s3_prefix):
    asked = asking(num_train=6, num_audit=4, workspace=s3_prefix)
    live = Live(asked.campaign)
    look(live)
    assert answer(live, 45).saved == (45,)
    assert [row["id"] for row in collect(asked.campaign, 1).to_pylist()] == ["item-000045"]
    again = Live(asked.campaign)
    look(again)
    assert again.status("ann")["num_open"] == 9
    again.pictures.fetch([46, 47], "small")
    assert all(again.pictures.get(row, "small").result(20).problem is None for row in (46, 47))
    for each in (live, again):
        each.close()


def test_a_server_whose_lease_is_lost_stops(asking):
    asked, taken = asking(num_train=6, num_audit=4), []

    def check():
        if taken:
            raise LeaseHeld("another review server took over")

    live = Live(asked.campaign, check=check)
    asyncio.run(live.try_to_look())
    assert (live.state, live.lost) == ("asking", None)
    taken.append(1)
    asyncio.run(live.try_to_look())
    assert str(live.lost) == live.trouble == "another review server took over"
    live.close()


def test_who_is_right_on_gold_items_is_told_of_answered_rounds_alone(asking):
    live = Live(asking(num_train=6, num_audit=4, num_gold=3).campaign)
    look(live)
    status = live.status("ann")
    assert (status["num_items"], status["num_open"]) == (13, 13)
    for row in (50, 51, 52):
        answer(live, row)
    status = live.status("ann")
    assert [person["known"] for person in status["people"]] == [GOLD_OF_ANN]
    assert status["num_open"] == 10
    judged = {"gold": {"ann": {"num_answers": 11, "num_shared": 11, "error_rate": 0.5}}}
    part = write_part(live.campaign.store, "rounds/0001/answered", schema.RESOLVED.empty_table())
    record = Record(facts={"answers": [], "annotators": judged}, parts={"resolved": [part]})
    live.campaign.records.commit("rounds/0001/answered", record)
    look(live)
    assert live.status("ann")["mine"]["known"]["num_answers"] == 11
    live.close()


def test_answers_to_gold_items_teach_a_model_nothing(asking):
    live = Live(asking(num_train=6, num_audit=4, num_gold=3).campaign)
    look(live)
    answer(live, 50)
    assert not live.asked.has_training_label()
    answer(live, 45)
    assert live.asked.has_training_label()
    live.close()
