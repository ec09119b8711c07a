"""Places that a test fills with files, on a local disk and in S3, and real images to fill them with."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from raylabel.config import Pool
from raylabel.workspace import Store


@dataclass(frozen=True)
class Place:
    """A folder or s3:// prefix."""

    root: str

    def put(self, name: str, data: bytes = b"x") -> None:
        """Write a file; one that is there is replaced."""
        if self.root.startswith("s3://"):
            s3fs.S3FileSystem().pipe_file(f"{self.root}/{name}", data)
            return
        path = Path(self.root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def get(self, name: str) -> bytes:
        """The bytes of a file."""
        return Store(self.root).read(name)

    def remove(self, name: str) -> None:
        """Take a file away."""
        Store(self.root).remove(name)

    def pool(self, **settings: Any) -> Pool:
        """The config's section for this place."""
        return Pool(path=self.root, **settings)


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place; every test that takes it runs on both kinds."""
    if request.param == "local":
        (tmp_path / "pool").mkdir()
        return Place(str(tmp_path / "pool"))
    return Place(request.getfixturevalue("s3_prefix"))


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    """An empty local folder."""
    (tmp_path / "pool").mkdir()
    return Place(str(tmp_path / "pool"))


@pytest.fixture
def workspace(tmp_path: Path) -> Store:
    """An empty local workspace."""
    return Store(str(tmp_path / "ws"))


@pytest.fixture(scope="session")
def cifar(data: Path) -> Any:
    """The first 60 real CIFAR-10 images: image, path, label."""
    file = pq.ParquetFile(data / "cifar10" / "part-000.parquet")
    return next(file.iter_batches(batch_size=60, columns=["image", "path", "label"]))


@pytest.fixture(scope="session")
def parquet() -> Callable[..., bytes]:
    """A function that writes columns, a dict or a table, as the bytes of a Parquet file."""

    def written(columns: Any, *, rows_per_group: int = 1_000, **options: Any) -> bytes:
        table = columns if isinstance(columns, pa.Table) else pa.table(columns)
        sink = pa.BufferOutputStream()
        options = {"use_dictionary": False, "write_page_checksum": True, **options}
        pq.write_table(table, sink, row_group_size=rows_per_group, **options)
        return sink.getvalue().to_pybytes()

    return written
