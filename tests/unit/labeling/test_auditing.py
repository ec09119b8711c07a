from dataclasses import replace

import pytest

from raylabel import schema
from raylabel.acceptance import draw
from raylabel.errors import ConfigError, RaylabelError
from raylabel.labeling.auditing import draw_audit, redraw
from raylabel.labeling.drawn import draw_name, find_audit
from raylabel.workspace import read_parts


def test_audit_is_drawn_over_the_whole_pool(ray_session, tiny):
    rows = draw_audit(tiny.campaign, tiny.plan)
    expected, _ = draw(60, size=20, rng=tiny.campaign.rng("audit"))
    assert rows.tolist() == expected.tolist() == sorted(set(rows.tolist()))
    record = tiny.campaign.records.find("audit/draw-0000")
    table = read_parts(tiny.campaign.store, record.parts["audit"], schema=schema.AUDIT)
    assert table.schema.equals(schema.AUDIT)
    for row in table.to_pylist():
        assert row == {
            "row": row["row"],
            "id": tiny.ids[row["row"]],
            "stratum": "pool",
            "inclusion_probability": pytest.approx(1 / 3),
            "draw": 0,
            "seed": 0,
        }


def test_the_draw_can_be_repeated_from_the_seed(ray_session, tiny):
    draw_audit(tiny.campaign, tiny.plan)
    record = tiny.campaign.records.find(draw_name(0))
    kept = read_parts(tiny.campaign.store, record.parts["audit"], schema=schema.AUDIT)
    assert redraw(tiny.campaign, tiny.plan, 0).equals(kept.drop_columns("id"))
    other = replace(tiny.campaign, config=tiny.campaign.config.model_copy(update={"seed": 5}))
    assert redraw(other, tiny.plan, 0).column("row") != kept.column("row")


def test_audit_is_drawn_once(ray_session, tiny):
    rows = draw_audit(tiny.campaign, tiny.plan)
    other = replace(tiny.campaign, config=tiny.campaign.config.model_copy(update={"seed": 5}))
    assert draw(60, size=20, rng=other.rng("audit"))[0].tolist() != rows.tolist()
    assert draw_audit(other, tiny.plan).tolist() == find_audit(other).tolist() == rows.tolist()


def test_audit_that_was_not_drawn(tiny):
    """Whoever only looks draws none."""
    with pytest.raises(RaylabelError, match="no audit sample is drawn yet; `raylabel run` begins"):
        find_audit(tiny.campaign)
    assert tiny.campaign.store.list("audit") == []


def test_shard_that_can_no_longer_be_read_stays_in_the_draw(ray_session, tiny):
    """Leaving its rows out would make the rest likelier than the certificate thinks."""
    gone = replace(tiny.plan.shards[1], path="gone.parquet")
    plan = replace(tiny.plan, shards=(tiny.plan.shards[0], gone))
    rows = draw_audit(tiny.campaign, plan)
    assert rows.tolist() == draw(60, size=20, rng=tiny.campaign.rng("audit"))[0].tolist()
    record = tiny.campaign.records.find("audit/draw-0000")
    ids = read_parts(tiny.campaign.store, record.parts["audit"], schema=schema.AUDIT).column("id").to_pylist()
    assert ids == [tiny.ids[row] if row < 40 else None for row in rows]
    assert None in ids


def grown(tiny, start=40):
    """The plan as if its second file had come later."""
    return replace(tiny.plan, starts=(0, start))


def test_what_comes_later_is_a_stratum_of_its_own(ray_session, begin, capsys):
    """20 of 40 rows were drawn, so 10 of the 20 new ones are; the first draw stands."""
    tiny = begin(acceptance={"max_error": 0.5})
    first = draw_audit(tiny.campaign, grown(tiny).at(0))
    assert capsys.readouterr().err == ""
    both = draw_audit(tiny.campaign, grown(tiny))
    assert "audit: 10 of the 20 images that came are drawn; the next round asks about them" in capsys.readouterr().err
    later, _ = draw(20, size=10, rng=tiny.campaign.rng("audit", 1))
    assert both.tolist() == find_audit(tiny.campaign).tolist() == [*first.tolist(), *(40 + later).tolist()]
    record = tiny.campaign.records.find("audit/draw-0001")
    table = read_parts(tiny.campaign.store, record.parts["audit"], schema=schema.AUDIT)
    assert [row["id"] for row in table.to_pylist()] == [tiny.ids[40 + row] for row in later]
    assert {(row["stratum"], row["inclusion_probability"], row["draw"], row["seed"]) for row in table.to_pylist()} == {
        ("plan-0001", 0.5, 1, 0)
    }


def test_a_later_draw_is_large_enough_to_certify_and_no_larger_than_what_came(ray_session, begin):
    """With max_error 0.3 and 0.025 a look, half of it for each of two strata: 0.7 ** 13 < 0.0125 < 0.7 ** 12."""
    tiny = begin(budget={"audit_answers": 11})
    assert len(draw_audit(tiny.campaign, grown(tiny))) == 11 + 13  # a fraction would be 6
    tiny = begin(budget={"audit_answers": 11}, workspace=f"{tiny.campaign.store.root}-small")
    small = replace(tiny.plan, shards=(tiny.plan.shards[0], replace(tiny.plan.shards[1], rows=5)), starts=(0, 40))
    assert len(draw_audit(tiny.campaign, small)) == 11 + 5


def test_no_audit_of_what_comes_later_without_one_before(ray_session, begin):
    tiny = begin(budget={"audit_answers": 0})
    assert draw_audit(tiny.campaign, grown(tiny)).tolist() == []
    assert tiny.campaign.records.find("audit/draw-0001").parts["audit"] == ()


def test_no_audit(begin):
    tiny = begin(budget={"audit_answers": 0})
    assert draw_audit(tiny.campaign, tiny.plan).tolist() == []


def test_budget_over_the_pool(begin):
    tiny = begin(budget={"train_answers": 41, "audit_answers": 20})
    with pytest.raises(ConfigError, match="41 training and 20 audit answers are more than the 60 items"):
        draw_audit(tiny.campaign, tiny.plan)
    assert tiny.campaign.store.list("audit") == []
