"""A real Label Studio, from its package, on loopback: questions in, answers out, live and by its own files."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from campaigns import digits_settings, free_port, invoke, write_toml

from raylabel.demo import write_pool
from raylabel.labeling.answers import collect
from raylabel.opening import find_campaign
from raylabel.toml import load

ROOT = Path(__file__).resolve().parents[2]
ENV = ROOT / ".venv" / "label-studio" / "bin"
USER = {"email": "anna@example.org", "password": "only-for-tests"}


class Server:
    """A running Label Studio, and a person who is logged in there.

    Args:
        url: of it.
    """

    def __init__(self, url: str):
        self.url = url
        self.web = httpx.Client(base_url=url, follow_redirects=True, timeout=60)
        form = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', self.web.get("/user/login/").text)
        assert form is not None
        self.web.post("/user/login/", data={"csrfmiddlewaretoken": form[1], **USER}, headers={"Referer": url})
        self.key = self.ask("POST", "/api/token/")["token"]

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A call of its API, as the page makes them."""
        headers = {"X-CSRFToken": self.web.cookies["csrftoken"], "Referer": self.url}
        answer = self.web.request(method, path, json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def tasks(self, project: int) -> list[dict[str, Any]]:
        """All tasks of a project."""
        found: list[dict[str, Any]] = self.ask("GET", f"/api/tasks?project={project}&page_size=500&fields=all")["tasks"]
        return found

    def annotate(self, task: dict[str, Any], choice: str | None, comment: str = "") -> Any:
        """Answer a task; without a choice it is skipped."""
        result = [{"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [choice]}}]
        if comment:
            text = {"from_name": "comment", "to_name": "image", "type": "textarea", "value": {"text": [comment]}}
            result.append(text)
        body = {"result": result if choice else [], "was_cancelled": choice is None, "lead_time": 1.5}
        return self.ask("POST", f"/api/tasks/{task['id']}/annotations/", body)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A fresh Label Studio on a free port."""
    if not (ENV.parent / "data" / "label_studio.sqlite3").exists():
        pytest.fail(f"{ENV}: Label Studio is not installed; `make test` installs it")
    place, port = tmp_path_factory.mktemp("label-studio"), free_port()
    shutil.copytree(ENV.parent / "data", place, dirs_exist_ok=True)
    url = f"http://127.0.0.1:{port}"
    command = [ENV / "label-studio", "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    command += ["--username", USER["email"], "--password", USER["password"], "--log-level", "ERROR"]
    env = os.environ | {"LABEL_STUDIO_BASE_DATA_DIR": str(place), "COLLECT_ANALYTICS": "false"}
    env |= {"SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": ""}
    with (place / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{url}/health").status_code == 200:
                    break
            time.sleep(0.5)
        else:
            pytest.fail((place / "server.log").read_text()[-3000:])
        yield Server(url)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


@pytest.fixture(scope="module")
def campaign(ray_session: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A campaign that waits for 90 answers; its TOML and the truth."""
    place = tmp_path_factory.mktemp("asks")
    truth = write_pool(place / "pool")
    budget = {"train_answers": 60, "audit_answers": 60, "rounds": 2}
    config = digits_settings(place / "pool", place / "workspace", budget=budget, labeling={"labeler": "files"})
    toml = write_toml(config, place / "campaign.toml")
    assert invoke("run", toml).returncode == 10
    return toml, truth


SMALL = """
import raylabel.labeling.label_studio as live
live.BATCH_TASKS, live.PAGE = 25, 10
from raylabel.cli import main
main()
"""
"""The command line with batches and pages that a round of 90 questions fills several times."""


def live(
    server: Server, *arguments: object, key: str | None = None, small: bool = False
) -> "subprocess.CompletedProcess[str]":
    """The command line where the SDK is installed."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "LABEL_STUDIO_API_KEY": server.key if key is None else key}
    command = [str(ENV / "python"), *(["-c", SMALL] if small else ["-m", "raylabel"]), *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)


def test_a_round_in_label_studio(server: Server, campaign: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    toml, truth = campaign
    push = ("export", toml, server.url, "--format", "labelstudio", "--json")
    others(server)
    pushed = live(server, *push, key=f"{server.key}\n", small=True)
    assert pushed.returncode == 0, pushed.stderr
    facts = json.loads(pushed.stdout)
    assert (facts["num_rows"], facts["round"]) == (90, 0)
    others(server)
    again = json.loads(live(server, *push, small=True).stdout)
    assert (again["num_rows"], again["project"]) == (0, facts["project"])
    for task in server.tasks(facts["project"])[30:70]:  # as if it had broken off
        server.ask("DELETE", f"/api/tasks/{task['id']}/")
    again = json.loads(live(server, *push, small=True).stdout)
    assert (again["num_rows"], again["project"]) == (40, facts["project"])
    found = server.tasks(facts["project"])
    assert len({task["data"]["id"] for task in found}) == len(found) == 90 and set(found[0]["data"]) == {
        "id",
        "round",
        "image",
    }
    for task in found[:85]:
        server.annotate(task, truth[task["data"]["id"]])
    server.annotate(found[85], None)
    server.annotate(found[86], "raylabel:cannot_tell", comment="smudged")
    pulled = live(server, "import", toml, server.url, "--json", small=True)
    assert pulled.returncode == 0, pulled.stderr
    facts |= json.loads(pulled.stdout)
    assert (facts["num_answers"], facts["num_new"]) == (87, 87)
    assert json.loads(live(server, "import", toml, server.url, "--json").stdout)["num_new"] == 0
    rows = {row["id"]: row for row in collect(find_campaign(load(toml)), 0).to_pylist()}
    assert {row["kind"] for row in rows.values()} == {"label", "skip", "cannot_tell"}
    for task in found[:85]:
        row = rows[task["data"]["id"]]
        assert (row["label"], row["source"], row["seconds"]) == (truth[row["id"]], "labelstudio", 1.5)
    assert rows[found[86]["data"]["id"]]["comment"] == "smudged"
    check_own_export(server, toml, facts["project"], tmp_path)
    check_a_changed_mind(server, toml, found[0], truth)
    for task in found[87:]:
        server.annotate(task, truth[task["data"]["id"]])
    assert json.loads(live(server, "import", toml, server.url, "--json").stdout)["num_new"] == 3
    assert "round 1 waits for 30 of 30 answers" in invoke("run", toml).stderr


def others(server: Server) -> None:
    """More projects than a small page lists: made before and after the campaign's, they keep it off the first one."""
    for number in range(11):
        server.ask("POST", "/api/projects/", {"title": f"other {number}"})


def check_own_export(server: Server, toml: Path, project: int, tmp_path: Path) -> None:
    """What Label Studio exports as JSON holds the same answers, by the same ids."""
    tasks = server.ask("GET", f"/api/projects/{project}/export?exportType=JSON&download_all_tasks=true")
    source = tmp_path / "export.json"
    source.write_text(json.dumps(tasks))
    done = invoke("import", toml, source, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"file": str(source), "num_answers": 87, "num_new": 0, "num_open": 3}


def check_a_changed_mind(server: Server, toml: Path, task: dict[str, Any], truth: dict[str, str]) -> None:
    """An annotation that is changed there is a new answer here, and the one that counts."""
    [annotation] = server.ask("GET", f"/api/tasks/{task['id']}/annotations/")
    other = "one" if truth[task["data"]["id"]] != "one" else "two"
    annotation["result"][0]["value"]["choices"] = [other]
    server.ask("PATCH", f"/api/annotations/{annotation['id']}/", {"result": annotation["result"]})
    assert json.loads(live(server, "import", toml, server.url, "--json").stdout)["num_new"] == 1
    rows = [row for row in collect(find_campaign(load(toml)), 0).to_pylist() if row["id"] == task["data"]["id"]]
    assert [row["label"] for row in sorted(rows, key=lambda row: row["answered_at"])][-1] == other


def test_the_files_are_what_label_studio_takes(
    server: Server, campaign: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    """The labeling config makes a project, the tasks come in whole; pictures lie within them."""
    toml, _ = campaign
    target = tmp_path / "tasks.json"
    done = invoke("export", toml, target, "--format", "labelstudio")
    assert done.returncode == 0, done.stderr
    config = target.with_suffix(".xml").read_text()
    project = server.ask("POST", "/api/projects/", {"title": "by file", "label_config": config})["id"]
    tasks = json.loads(target.read_text())
    assert all(set(task["data"]) == {"id", "round", "image"} for task in tasks)
    added = server.ask("POST", f"/api/projects/{project}/import", tasks)
    assert added["task_count"] == len(tasks) > 0
    assert all(task["data"]["image"].startswith("data:image/jpeg;base64,") for task in server.tasks(project))


@pytest.mark.parametrize(
    ("verb", "key", "code", "message"),
    [
        ("export", "", 2, "set LABEL_STUDIO_API_KEY to an access token"),
        ("export", "no-token", 1, "Label Studio refuses"),
        ("import", "", 2, "set LABEL_STUDIO_API_KEY to an access token"),
    ],
)
def test_keys_that_do_not_do(
    server: Server, campaign: tuple[Path, dict[str, str]], verb: str, key: str, code: int, message: str
) -> None:
    options = ("--format", "labelstudio") if verb == "export" else ()
    done = live(server, verb, campaign[0], server.url, *options, key=key)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_is_not_there(server: Server, campaign: tuple[Path, dict[str, str]]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = live(server, "export", campaign[0], url, "--format", "labelstudio")
    assert (done.returncode, "Label Studio does not answer" in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("body", ["5", '{"results": [5]}', '{"results": 5}', "{}"])
def test_a_server_that_is_another(server: Server, campaign: tuple[Path, dict[str, str]], body: str) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Other) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{other.server_port}"
        done = live(server, "export", campaign[0], url, "--format", "labelstudio")
        other.shutdown()
    assert (done.returncode, "does not answer like Label Studio" in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_url_that_is_none(server: Server, campaign: tuple[Path, dict[str, str]]) -> None:
    done = live(server, "import", campaign[0], "http://eve:word@127.0.0.1:port")
    assert (done.returncode, "http://127.0.0.1:port: is no URL of a server" in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr and "word" not in done.stderr


def test_labels_are_no_questions(campaign: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    for what in ("labels", "provisional"):
        done = invoke("export", campaign[0], tmp_path / "a.json", "--what", what, "--format", "labelstudio")
        said = " ".join(done.stderr.replace("\u2502", " ").split())
        assert (done.returncode, "labelstudio holds questions: leave --what out" in said) == (2, True), done.stderr


def test_without_the_sdk(campaign: tuple[Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "any")
    done = invoke("export", campaign[0], "http://127.0.0.1:9", "--format", "labelstudio")
    assert done.returncode == 2, done.stderr
    assert "pip install 'raylabel[labelstudio]'" in done.stderr
