"""Label Studio: a shortlist as tasks with a labeling config, in a file or in a running server; answers back from it.

Tasks carry no strategy, reason or purpose. Half of the items that a strategy picked carry the model's guess: one
without a guess may be anything, an audit item among them.
Knows shortlists and hints; the annotations' form is `readers.label_studio`'s.
"""

from __future__ import annotations

import base64
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TextIO
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
"""Tasks of one request that adds them, pictures and all."""
PAGE = 100
"""Tasks or projects of one request that lists them."""
KEY = "LABEL_STUDIO_API_KEY"

Task = dict[str, Any]


def export_tasks(campaign: Campaign, plan: Plan, target: Path) -> tuple[int, int]:
    """Write the newest round's unanswered items as tasks to a .json file, and the labeling config beside it as .xml.

    Returns:
        The round and how many tasks were written.

    Raises:
        RaylabelError: no round has asked yet.
        ConfigError: the name ends in something else, its folder is not there, or another .xml lies beside it.
        PoolError: a picture can no longer be read; what lay there stays as it was.

    Cost: one pass; memory of one thumbnail and some 100 bytes a task.
    """
    if target.suffix != ".json":
        raise ConfigError(f"{target}: Label Studio reads tasks from a name that ends in .json")
    check_folder(target)
    number, items = open_questions(campaign)
    view, config = target.with_suffix(".xml"), labeling_config(campaign.config.classes)
    if view.exists() and view.read_bytes() != config.encode():
        raise ConfigError(f"{view}: is there, and is not the labeling config of this campaign: choose another name")
    draft = target.with_name(f".{target.name}.draft")
    try:
        with draft.open("w", encoding="utf-8") as file:
            _write_array(file, tasks(campaign, plan, number, items))
        view.write_bytes(config.encode())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return number, items.num_rows


def _write_array(file: TextIO, found: Iterable[Task]) -> int:
    """Write tasks as one array of JSON; returns how many they were."""
    file.write("[")
    count = 0
    for count, task in enumerate(found, start=1):
        file.write((",\n" if count > 1 else "\n") + json.dumps(task, ensure_ascii=False, default=str))
    file.write("\n]\n")
    return count


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

    An image of a folder in S3 is named by its URI. Any other is a thumbnail within the task, be its pool a local
    folder, a list of URIs, tars or Parquet: a labeler's browser need not reach where it lies.
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
    server = _Server(url)
    project = server.project(campaign, make=True)
    there = {(str(data.get("id")), str(data.get("round"))) for data in server.data_of(project)}
    missing = [(name, str(number)) not in there for name in items.column("id").to_pylist()]
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
    server = _Server(url)
    with target.open("w", encoding="utf-8") as file:
        return _write_array(file, server.answered(server.project(campaign, make=False)))


def shown(url: str) -> str:
    """A URL as messages may show it: without a user's name and password."""
    return re.sub(r"//.*@", "//", url)


def _key(url: str) -> str:
    """The access token, as the environment holds it; no message shows any of it."""
    key = os.environ.get(KEY, "").strip()
    if not key:
        raise ConfigError(f"{url}: set {KEY} to an access token (in Label Studio: Account & Settings)")
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(f"{url}: {KEY} holds characters that no access token has; copy it anew")
    return key


class _Server:
    """A running Label Studio, through its SDK; its faults are ours."""

    def __init__(self, url: str) -> None:
        self.url = shown(url)
        key = _key(self.url)
        try:
            from label_studio_sdk import LabelStudio
        except ImportError as error:
            raise ConfigError(
                f"{self.url}: Label Studio's SDK is not installed; pip install 'raylabel[labelstudio]'"
            ) from error
        with self._asking():
            self._client = LabelStudio(base_url=url, api_key=key)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Say in one line what went wrong between the server and the SDK."""
        import httpx
        from label_studio_sdk.core import ApiError

        try:
            yield
        except ApiError as error:
            told = error.body if isinstance(error.body, str) else json.dumps(error.body, default=str)
            raise RaylabelError(f"{self.url}: Label Studio refuses ({error.status_code}): {told[:300]}") from error
        except httpx.InvalidURL as error:  # its text may hold a password
            raise ConfigError(f"{self.url}: is no URL of a server") from error
        except httpx.LocalProtocolError as error:  # its text may hold the key
            raise RaylabelError(f"{self.url}: cannot be asked: the URL or {KEY} does not fit into a request") from error
        except httpx.HTTPError as error:
            raise RaylabelError(f"{self.url}: Label Studio does not answer ({shown(str(error))})") from error
        # What the SDK makes of an answer that has another form: ValueError is pydantic's too.
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise RaylabelError(f"{self.url}: does not answer like Label Studio ({type(error).__name__})") from error

    def project(self, campaign: Campaign, *, make: bool) -> int:
        """The number of the campaign's project."""
        title = f"raylabel {campaign.fingerprint[:12]}"
        with self._asking():
            listed = self._client.projects.list(page_size=PAGE)
            found = next((each for each in listed if each.title == title), None)
            if found is None and make:
                found = self._client.projects.create(
                    title=title,
                    label_config=labeling_config(campaign.config.classes),
                    maximum_annotations=campaign.config.labeling.answers_per_item,
                )
            if found is not None:
                return int(found.id)
        raise RaylabelError(f"{self.url}: has no project {title!r}; `raylabel export` makes it")

    def data_of(self, project: int) -> Iterator[dict[str, Any]]:
        """The data of every task."""
        with self._asking():
            for task in self._client.tasks.list(project=project, fields="all", include="id,data", page_size=PAGE):
                yield dict(task.data)

    def add(self, project: int, batch: list[Task]) -> None:
        """Add tasks."""
        with self._asking():
            self._client.projects.import_tasks(id=project, request=batch, return_task_ids=False)

    def answered(self, project: int) -> Iterator[Task]:
        """Tasks with their annotations, those that have any."""
        with self._asking():
            for task in self._client.tasks.list(project=project, fields="all", only_annotated=True, page_size=PAGE):
                yield {"data": dict(task.data), "annotations": [_plain(each) for each in task.annotations or []]}


def _plain(annotation: Any) -> dict[str, Any]:
    found: dict[str, Any] = annotation if isinstance(annotation, dict) else annotation.dict()
    return found
