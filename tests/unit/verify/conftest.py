"""A real campaign of 300 digits, run once; tests change copies of its workspace."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from campaigns import digits_settings, run

from raylabel.demo import write_pool
from raylabel.verify import open_workspace, verify
from raylabel.workspace import Store, write_part


@pytest.fixture(scope="session")
def digits_pool(tmp_path_factory):
    """300 digits in two Parquet files."""
    folder = tmp_path_factory.mktemp("verified")
    write_pool(folder / "all")
    table = pq.read_table(folder / "all").slice(0, 300)
    (folder / "pool").mkdir()
    for number in range(2):
        pq.write_table(table.slice(150 * number, 150), folder / "pool" / f"digits-{number}.parquet")
    return folder / "pool"


@pytest.fixture(scope="session")
def finished(ray_session, digits_pool, tmp_path_factory):
    """The workspace of a campaign that is done, in two rounds; never written to."""
    workspace = tmp_path_factory.mktemp("finished") / "workspace"
    budget = {"train_answers": 40, "audit_answers": 80, "rounds": 2}
    run(digits_settings(digits_pool, workspace, budget=budget, acceptance={"max_error": 0.15}))
    return workspace


class Copy:
    """A copy of the workspace that a test may change.

    Args:
        root: of the copy.
    """

    def __init__(self, root: Path):
        self.root, self.store = root, Store(str(root))

    @property
    def campaign(self):
        """The campaign, as it lies there."""
        return open_workspace(str(self.root))

    def wrong(self):
        """What does not agree, by check."""
        facts = verify(self.campaign)
        found = {check["name"]: check["differs"] for check in facts["checks"] if check["differs"]}
        assert facts["verified"] is not bool(found)
        return found

    def record(self, name):
        """A record's whole JSON tree."""
        return json.loads((self.root / f"{name}.json").read_text())

    def put(self, name, tree):
        """Write a record's JSON tree over the one that was there."""
        (self.root / f"{name}.json").write_text(json.dumps(tree))

    def rewrite(self, name, table, change, *, forge):
        """Change the table of a record's first part of a name; forged, the record tells of the new bytes."""
        tree = self.record(name)
        part = tree["parts"][table][0]
        found = change(pq.read_table(self.root / part["name"]))
        new = write_part(self.store, "forged/part", found).to_json()
        (self.root / new["name"]).replace(self.root / part["name"])
        if forge:
            self.forge(part["name"], rows=new["rows"], sha256=new["sha256"])

    def forge(self, part, **fields):
        """Make every record that names a part tell of it what somebody wants it to."""
        for path in self.root.rglob("*.json"):
            tree = json.loads(path.read_text())
            for found in tree.get("parts", {}).values() if isinstance(tree, dict) else ():
                for entry in found:
                    if entry["name"] == part:
                        entry.update(fields)
                        path.write_text(json.dumps(tree))


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished workspace."""
    shutil.copytree(finished, tmp_path / "copy")
    return Copy(tmp_path / "copy")


def replaced(table, column, values):
    """A table with another column of the same type."""
    where = table.schema.get_field_index(column)
    return table.set_column(where, table.schema.field(column), pa.array(values, table.schema.field(column).type))


@pytest.fixture
def change():
    """`replaced`, for tests."""
    return replaced
