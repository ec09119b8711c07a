"""People answer on the review page, and the loop goes on: the first round, training with hints, and the result."""

import asyncio
import json
import threading
from pathlib import Path

import httpx
import pyarrow.parquet as pq
from campaigns import digits_settings, invoke, write_toml

from raylabel.demo import DIGITS, write_pool
from raylabel.labeling.review.live import Live
from raylabel.labeling.review.server import Server
from raylabel.opening import find_campaign
from raylabel.workspace import REVIEW, hold


def answer_all(campaign, truth: dict[str, str]) -> list[dict]:
    """Answer all that is open, as a page would; returns the screens."""
    live = Live(campaign)
    screens = []

    async def work() -> None:
        await live.look()
        app = Server(live, hosts=frozenset(["127.0.0.1"])).app
        cookies = {"raylabel-name": "anna"}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", cookies=cookies) as client:
            while True:
                message = {"page": "page-0001", "single": False, "size": 30, "keep": []}
                screen = (await client.post("/api/next", json=message)).json()
                if screen["kind"] == "empty":
                    return
                screens.append(screen)
                items = [
                    {"row": item["row"], "kind": "label", "label": DIGITS.index(truth[item["id"]])}
                    for item in screen["items"]
                ]
                said = {"page": "page-0001", "round": screen["round"], "submission": f"submission-{len(screens)}"}
                done = (await client.post("/api/answer", json={**said, "items": items})).json()
                assert len(done["saved"]) == len(items)

    # A loop of its own, in a thread of its own: another test's may run in this one.
    worker = threading.Thread(target=lambda: asyncio.run(work()))
    worker.start()
    worker.join()
    live.close()
    return screens


def test_the_loop_goes_on_with_what_is_answered_on_the_page(tmp_path: Path, ray_session: str) -> None:
    """Whoever is wrong on every gold item is told of it, and nothing that the campaign makes is the worse for it."""
    truth = write_pool(tmp_path / "pool")
    gold = tmp_path / "gold.csv"
    known = list(truth)[:60]
    gold.write_text("id,label\n" + "".join(f"{name},{truth[name]}\n" for name in known))
    config = digits_settings(
        tmp_path / "pool",
        tmp_path / "workspace",
        budget={"train_answers": 120, "audit_answers": 40, "rounds": 2},
        labeling={"labeler": "files", "gold": str(gold)},
        acceptance={"looks": "last"},
    )
    toml = write_toml(config, tmp_path / "campaign.toml")
    first = invoke("run", toml)
    assert first.returncode == 10, first.stderr
    # One gold item for each 19 of the 60 that are picked and the 40 of the audit.
    assert "waits for 106 of 106 answers: answer them on the page that `raylabel review` opens" in first.stderr
    campaign = find_campaign(config)
    audited = set(pq.read_table(next((tmp_path / "workspace" / "audit").glob("*.parquet"))).column("id").to_pylist())
    wrong = {name: DIGITS[DIGITS.index(truth[name]) - 1] for name in set(known) - audited}
    with hold(campaign.store, REVIEW):
        screens = answer_all(campaign, truth | wrong)
    kinds = {screen["kind"] for screen in screens}
    # 40 of the audit, 6 of gold and 46 of the picked ones bare, 14 in clusters: without a model nothing is guessed.
    assert sum(len(screen["items"]) for screen in screens) == 106
    assert "bare" in kinds and not any(item["guesses"] for screen in screens for item in screen["items"])
    assert invoke("run", toml).returncode == 10
    screens = answer_all(campaign, truth | wrong)
    items = [item for screen in screens for item in screen["items"]]
    assert len(items) == 64
    bare = [item for item in items if not item["guesses"]]
    # Four gold items, and as many of the others with them.
    assert len(bare) == 8 and sum(item["id"] in wrong for item in bare) == 4
    assert all(item["neighbours"] for item in items if item["guesses"])
    done = invoke("run", toml, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["labels"]["num_human"] == 160
    judged = report["people"]["annotators"]
    assert judged["gold"] == {"anna": {"num_answers": 10, "num_shared": 10, "error_rate": 1.0}}
    assert judged["training"]["anna"]["num_answers"] == 120
    labels = [
        row for part in (tmp_path / "workspace" / "labels").glob("*.parquet") for row in pq.read_table(part).to_pylist()
    ]
    assert all(row["label"] == truth[row["id"]] for row in labels if row["source"] == "human")
    assert invoke("verify", toml).returncode == 0
