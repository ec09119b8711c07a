"""Label Studio: a shortlist as tasks with a labeling config, in a file or in a running server; answers back from it.

Tasks carry no strategy, reason or purpose. Half of the items that a strategy picked carry the model's guess: one
without a guess may be anything, an audit item among them.
Knows shortlists and hints; the annotations' form is `readers.label_studio`'s.
"""

from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np
import pyarrow as pa

from raylabel import schema
from raylabel.campaign import Campaign, folder
from raylabel.errors import ConfigError, RaylabelError
from raylabel.labeling.asked import rows_of
from raylabel.labeling.files import check_folder, images_of, open_questions
from raylabel.labeling.readers.label_studio import CANNOT_TELL
from raylabel.pool import Plan
from raylabel.workspace import read_parts

HOTKEYS = "1234567890"
MANY_CLASSES = 20
"""From so many on the labeling config offers to filter them."""
BATCH_TASKS = 500
KEY = "LABEL_STUDIO_API_KEY"

Task = dict[str, Any]


def export_tasks(campaign: Campaign, plan: Plan, target: Path) -> tuple[int, int]:
    """Write the newest round's unanswered items as tasks to a .json file, and the labeling config beside it as .xml.

    Returns:
        The round and how many tasks were written.

    Raises:
        RaylabelError: no round has asked yet.
        ConfigError: the name ends in something else, or its folder is not there.
        PoolError: a picture can no longer be read.

    Cost: one pass; memory of one thumbnail and some 100 bytes a task.
    """
    if target.suffix != ".json":
        raise ConfigError(f"{target}: Label Studio reads tasks from a name that ends in .json")
    check_folder(target)
    number, items = open_questions(campaign)
    target.with_suffix(".xml").write_text(labeling_config(campaign.config.classes), encoding="utf-8")
    with target.open("w", encoding="utf-8") as file:
        file.write("[")
        for count, task in enumerate(tasks(campaign, plan, number, items)):
            file.write((",\n" if count else "\n") + json.dumps(task, ensure_ascii=False))
        file.write("\n]\n")
    return number, items.num_rows


def labeling_config(classes: tuple[str, ...]) -> str:
    """The interface: the image, one choice among the classes, "I cannot tell", and a comment."""
    view = Element("View")
    SubElement(view, "Image", name="image", value="$image", zoom="true", zoomControl="true")
    if len(classes) >= MANY_CLASSES:
        SubElement(view, "Filter", toName="label", hotkey="shift+f", minlength="0", placeholder="Filter classes")
    choices = SubElement(view, "Choices", name="label", toName="image", choice="single-radio", showInLine="true")
    for index, name in enumerate(classes):
        SubElement(choices, "Choice", {"value": name, **({"hotkey": HOTKEYS[index]} if index < len(HOTKEYS) else {})})
    SubElement(choices, "Choice", value="I cannot tell", alias=CANNOT_TELL, hotkey="x")
    SubElement(view, "TextArea", name="comment", toName="image", placeholder="Comment", rows="1", maxSubmissions="1")
    indent(view)
    return tostring(view, encoding="unicode") + "\n"


def tasks(campaign: Campaign, plan: Plan, number: int, items: pa.Table) -> Iterator[Task]:
    """The tasks of some items of a round's shortlist, in their order.

    An image that lies on the web or in S3 is named by its URI; any other is a thumbnail within the task.
    """
    guesses = _guesses(campaign, number)
    with tempfile.TemporaryDirectory() as place:
        images = images_of(campaign, plan, number, items, Path(place), names_files=plan.root.startswith("s3://"))
        for item, image in zip(rows_of(items.select(["row", "id"])), images, strict=True):
            shown = image if "://" in image else _within(Path(image))
            task: Task = {"data": {"image": shown, "id": item["id"], "round": number}}
            if item["row"] in guesses:
                task["predictions"] = [_prediction(*guesses[item["row"]])]
            yield task


def _within(image: Path) -> str:
    data = f"data:image/jpeg;base64,{base64.b64encode(image.read_bytes()).decode()}"
    image.unlink()
    return data


def _guesses(campaign: Campaign, number: int) -> dict[int, tuple[str, float]]:
    """The likeliest class and its probability, of every other item that a strategy picked, by row."""
    record = campaign.records.require(f"{folder(number)}/shortlist", missing=f"the shortlist of round {number} is gone")
    hints = read_parts(campaign.store, record.parts.get("hints", ()), schema=schema.HINTS)
    shown = np.random.default_rng(campaign.seed("hints", number)).random(hints.num_rows) < 0.5
    classes = campaign.config.classes
    return {
        hint["row"]: (classes[hint["top_index"][0]], hint["top_probability"][0])
        for hint in rows_of(hints.filter(pa.array(shown)))
        if hint["top_index"]
    }


def _prediction(label: str, probability: float) -> dict[str, Any]:
    choice = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
    return {"model_version": "raylabel", "score": probability, "result": [choice]}


def push(campaign: Campaign, plan: Plan, url: str) -> tuple[int, int, int]:
    """Make the newest round's unanswered items tasks of a project in a running Label Studio; those there stay.

    Doing it again, or after it broke off, adds what is missing.

    Args:
        campaign: whose questions; its project goes by its fingerprint.
        plan: of the pool.
        url: of the server; the environment holds its key.

    Returns:
        The round, how many tasks were added, and the number of the project.

    Raises:
        RaylabelError: no round has asked yet, or the server refuses.
        ConfigError: no key, or the SDK is not installed.
    """
    number, items = open_questions(campaign)
    with _Server(url) as server:
        project = server.project(campaign, make=True)
        there = {(data.get("id"), data.get("round")) for data in server.data_of(project)}
        missing = [(name, number) not in there for name in items.column("id").to_pylist()]
        new = items.filter(pa.array(missing, pa.bool_()))
        source = tasks(campaign, plan, number, new)
        while batch := list(islice(source, BATCH_TASKS)):
            server.add(project, batch)
    return number, new.num_rows, project


def pull(campaign: Campaign, url: str, target: Path) -> int:
    """Write the tasks of a campaign's project that have annotations to a file, as Label Studio's JSON export has them.

    Returns:
        How many tasks.

    Raises:
        RaylabelError: the server has no project of this campaign, or refuses.
        ConfigError: no key, or the SDK is not installed.
    """
    count = 0
    with _Server(url) as server, target.open("w", encoding="utf-8") as file:
        file.write("[")
        for count, task in enumerate(server.answered(server.project(campaign, make=False)), start=1):
            file.write((",\n" if count > 1 else "\n") + json.dumps(task, ensure_ascii=False, default=str))
        file.write("\n]\n")
    return count


class _Server:
    """A running Label Studio, through its SDK; its faults are ours."""

    def __init__(self, url: str) -> None:
        key = os.environ.get(KEY)
        if not key:
            raise ConfigError(f"{url}: set {KEY} to an access token (in Label Studio: Account & Settings)")
        try:
            from label_studio_sdk import LabelStudio
        except ImportError as error:
            raise ConfigError(
                f"{url}: Label Studio's SDK is not installed; pip install 'raylabel[labelstudio]'"
            ) from error
        self.url, self._client = url, LabelStudio(base_url=url, api_key=key)

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        """Say what the server refused in one line."""
        if error is None or isinstance(error, RaylabelError):
            return
        import httpx
        from label_studio_sdk.core import ApiError

        if isinstance(error, ApiError):
            told = error.body if isinstance(error.body, str) else json.dumps(error.body, default=str)
            raise RaylabelError(f"{self.url}: Label Studio refuses ({error.status_code}): {told[:300]}") from error
        if isinstance(error, httpx.HTTPError):
            raise RaylabelError(f"{self.url}: Label Studio does not answer ({error})") from error

    def project(self, campaign: Campaign, *, make: bool) -> int:
        """The number of the campaign's project."""
        title = f"raylabel {campaign.fingerprint[:12]}"
        found = next((each for each in self._client.projects.list() if each.title == title), None)
        if found is None and make:
            config = labeling_config(campaign.config.classes)
            each = campaign.config.labeling.answers_per_item
            made = self._client.projects.create(title=title, label_config=config, maximum_annotations=each)
            return int(made.id)
        if found is None:
            raise RaylabelError(f"{self.url}: has no project {title!r}; `raylabel export` makes it")
        return int(found.id)

    def data_of(self, project: int) -> Iterator[dict[str, Any]]:
        """The data of every task."""
        for task in self._client.tasks.list(project=project, fields="all", include="id,data"):
            yield dict(task.data)

    def add(self, project: int, batch: Iterable[Task]) -> None:
        """Add tasks."""
        self._client.projects.import_tasks(id=project, request=list(batch), return_task_ids=False)

    def answered(self, project: int) -> Iterator[Task]:
        """Tasks with their annotations, those that have any."""
        for task in self._client.tasks.list(project=project, fields="all", only_annotated=True):
            yield {"data": dict(task.data), "annotations": [_plain(each) for each in task.annotations or []]}


def _plain(annotation: Any) -> dict[str, Any]:
    found: dict[str, Any] = annotation if isinstance(annotation, dict) else annotation.dict()
    return found
