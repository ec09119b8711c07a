"""A slice of CIFAR-10 and the campaign that is run on it in several ways."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from campaigns import CLASSES, run, settings

from raylabel.config import Config


@pytest.fixture(scope="session")
def cifar_slice(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,200 CIFAR-10 images of three classes in three Parquet files of 400; the one at row 777 is broken."""
    folder = tmp_path_factory.mktemp("cifar")
    table = pq.read_table(data / "cifar10" / "part-000.parquet", columns=["image", "path", "label"])
    table = table.filter(pc.is_in(table.column("label"), value_set=pa.array(CLASSES))).slice(0, 1200)
    images = table.column("image").to_pylist()
    images[777] = images[777][:200]
    table = table.set_column(0, "image", [images])
    for number in range(3):
        pq.write_table(table.slice(400 * number, 400), folder / f"part-{number}.parquet", row_group_size=200)
    return folder


@pytest.fixture(scope="session")
def baseline(
    ray_session: str, cifar_slice: Path, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Config, dict[str, Any]]:
    """The campaign from local disk to local disk with two workers: its config and report."""
    config = settings(str(cifar_slice), str(tmp_path_factory.mktemp("baseline") / "workspace"), data)
    return config, run(config)
