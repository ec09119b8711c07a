"""People answer on the review page, and the loop goes on: the first round, training with hints, and the result."""

import asyncio
import json
import threading
from pathlib import Path

import httpx
from campaigns import invoke, write_toml

from raylabel.config import Config
from raylabel.demo import DIGITS, write_pool
from raylabel.labeling.review.live import Live
from raylabel.labeling.review.server import Server
from raylabel.opening import find_campaign


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
    truth = write_pool(tmp_path / "pool")
    config = Config.model_validate(
        {
            "workspace": str(tmp_path / "workspace"),
            "classes": DIGITS,
            "pool": {"path": str(tmp_path / "pool")},
            "backbone": {"name": "tiny_cnn", "weights": "none", "image_size": 16},
            "budget": {"train_answers": 120, "audit_answers": 40, "rounds": 2},
            "acceptance": {"max_error": 0.3, "looks": "last"},
        }
    )
    toml = write_toml(config, tmp_path / "campaign.toml")
    first = invoke("run", toml)
    assert first.returncode == 10, first.stderr
    assert "waits for 100 of 100 answers: answer them on the page that `raylabel review` opens" in first.stderr
    campaign = find_campaign(config)
    screens = answer_all(campaign, truth)
    kinds = {screen["kind"] for screen in screens}
    # 40 of the audit and 40 of the picked ones bare, 20 in clusters: without a model nothing is guessed.
    assert sum(len(screen["items"]) for screen in screens) == 100
    assert "bare" in kinds and not any(item["guesses"] for screen in screens for item in screen["items"])
    assert invoke("run", toml).returncode == 10
    screens = answer_all(campaign, truth)
    items = [item for screen in screens for item in screen["items"]]
    assert len(items) == 60
    assert all(item["guesses"] and item["neighbours"] for item in items)
    assert {screen["kind"] for screen in screens} <= {"group", "single"}
    done = invoke("run", toml, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["labels"]["num_human"] == 160
    assert report["people"]["annotators"]["training"]["anna"]["num_answers"] == 120
    assert invoke("verify", toml).returncode == 0
