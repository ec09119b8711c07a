"""WebDataset tars: planned by their headers, grouped into samples, read by ranges of bytes.

A sample is the members that stand side by side and share their path up to the first dot of its last name, as
WebDataset has it; so do its rules on what is no sample (names that begin with a dot, `__meta__`).
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raylabel import schema
from raylabel.config import Pool
from raylabel.errors import StorageError
from raylabel.pool.listing import COMPRESSED_SUFFIXES, IMAGE_SUFFIXES, Found, cut
from raylabel.pool.objects import Range, chunks, get_ranges, open_planned
from raylabel.pool.shards import Batch, Item, Plan, Shard, ShardUnreadable, Want
from raylabel.workspace import Part, Store, read_part, write_part
from raylabel.workspace.store import failures

BLOCK_BYTES = 1024 * 1024
"""A look at a header in an object store brings so much: small members come along, large ones are passed over."""
MAX_IMAGES = 8
"""More images of one key are no views of one sample, but files whose names hold dots, as in `photo.0001.jpg`."""
INDEX_EXTENSIONS = ("cls", "cls2", "class", "count", "index", "inx", "id")
"""Members that WebDataset reads as whole numbers: indices of classes."""

_META = re.compile(r"__[^/]*__($|/)")


@dataclass
class Sample:
    """Where a sample's parts lie in its tar."""

    key: str
    image: Range | None = None
    label: Range | None = None
    num_images: int = 0
    extensions: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class PlannedTar:
    """A tar's shards; `error` is why it cannot be used."""

    path: str
    shards: tuple[Shard, ...] = ()
    error: tuple[str, str] | None = None


@dataclass(frozen=True)
class PlanTar:
    """Plan one tar, in a task: its headers are read, its samples are listed in the workspace."""

    root: str
    pool: Pool
    store: Store
    labels_needed: bool
    rows_per_shard: int

    def __call__(self, found: Found) -> PlannedTar:
        """Shards of consecutive samples; index and first row count from the tar's start.

        A tar with anything wrong in it is not used at all: nobody can tell what else of it is.
        """
        if found.path.lower().endswith(COMPRESSED_SUFFIXES):
            why = "compressed: its members cannot be read singly; unpack it to .tar"
            return PlannedTar(found.path, error=("unreadable", why))
        uri = f"{self.root}/{found.path}"
        try:
            with open_planned(uri, etag=found.etag, block_size=BLOCK_BYTES, cache_type="readahead") as file:
                shards = self._cut(found, read_samples(file, self.pool, size=found.size))
        except ShardUnreadable as error:
            return PlannedTar(found.path, error=(error.code, error.message))
        except failures() as error:
            raise StorageError(f"{uri}: could not be read ({error}); run the same command again") from error
        return PlannedTar(found.path, shards)

    def _cut(self, found: Found, samples: Iterator[Sample]) -> tuple[Shard, ...]:
        num_labels = 0
        extensions: set[str] = set()

        def write(chunk: list[Sample]) -> Part:
            nonlocal num_labels
            num_labels += sum(sample.label is not None for sample in chunk)
            extensions.update(*(sample.extensions for sample in chunk))
            return write_part(self.store, "pool/samples", _listing(chunk))

        shards = tuple(cut(found, samples, self.rows_per_shard, write=write))
        if not shards:
            raise ShardUnreadable("empty", "holds no samples")
        if self.labels_needed and self.pool.label_column is not None and num_labels == 0:
            known = ", ".join(f".{name}" for name in sorted(extensions)[:10])
            raise ShardUnreadable("bad_column", f"no sample has a member .{self.pool.label_column}, only {known}")
        return shards


def read_samples(file: Any, pool: Pool, *, size: int) -> Iterator[Sample]:
    """The samples of a tar, in order, from its headers alone.

    An extension that comes again begins a new sample, of the same key: it shows as an id that stands there twice.

    Raises:
        ShardUnreadable: the tar is cut, a header in it is broken, or one key has too many images to be a sample.
    """
    current: Sample | None = None
    label = pool.label_column.lower() if pool.label_column is not None else None
    for member in _members(file, size):
        folder, slash, name = member.name.rpartition("/")
        stem, dot, extension = name.partition(".")
        if not stem or not dot or _META.match(member.name):
            continue
        key, extension = folder + slash + stem, extension.lower()
        if current is None or key != current.key or extension in current.extensions:
            if current is not None:
                yield current
            current = Sample(key)
        current.extensions.add(extension)
        if not _has_bytes(member):
            continue
        place = (member.offset_data, member.size)
        if _is_image(extension, pool.image_column):
            current.image = current.image or place
            current.num_images += 1
            if current.num_images > MAX_IMAGES:
                why = f"more than {MAX_IMAGES} images share the key {key!r}, which ends at the first dot of a name"
                raise ShardUnreadable(
                    "unreadable", f"{why}; name them otherwise, or set pool.image_column to one of them"
                )
        if extension == label:
            current.label = place
    if current is not None:
        yield current


def _is_image(extension: str, wanted: str) -> bool:
    return f".{extension}".endswith(IMAGE_SUFFIXES) if wanted == "image" else extension == wanted.lower()


def _members(file: Any, size: int) -> Iterator[tarfile.TarInfo]:
    """Headers of files and links, one after another; the archive must be whole and must end as archives do."""
    try:
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="strict") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep every header
                # In a file with holes `size` is what it unpacks to.
                if member.size < 0 or (_has_bytes(member) and member.offset_data + member.size > size):
                    raise ShardUnreadable("unreadable", f"cut: {member.name!r} ends beyond the file's {size} bytes")
                if member.isfile() or member.islnk() or member.issym():
                    yield member
            _check_end(file, tar.offset)
    except UnicodeDecodeError as error:
        raise ShardUnreadable("unreadable", f"the name {error.object!r} of a member is not UTF-8") from error
    except (tarfile.TarError, ValueError) as error:
        raise ShardUnreadable("unreadable", f"no valid tar: {error}") from error


def _has_bytes(member: tarfile.TarInfo) -> bool:
    """Whether a member's bytes lie behind its header as they are; not those of a link or a file with holes."""
    return member.isreg() and not member.issparse()


def _check_end(file: Any, offset: int) -> None:
    """See why tarfile found no further header at an offset: it takes a broken header for the end."""
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise ShardUnreadable("unreadable", f"cut: stops at byte {offset + len(block)} without an end mark")
    while block:
        if block.strip(b"\0"):
            raise ShardUnreadable("unreadable", f"no valid tar: broken header at byte {offset}, or data after its end")
        block = file.read(BLOCK_BYTES)


def _listing(samples: list[Sample]) -> pa.Table:
    images = [sample.image or (None, None) for sample in samples]
    labels = [sample.label or (None, None) for sample in samples]
    columns = {
        "key": [sample.key for sample in samples],
        "offset": [offset for offset, _ in images],
        "size": [size for _, size in images],
        "label_offset": [offset for offset, _ in labels],
        "label_size": [size for _, size in labels],
    }
    return pa.table(columns, schema=schema.SAMPLES)


def read_samples_of(
    plan: Plan, shard: Shard, offsets: NDArray[np.int64], *, pool: Pool, store: Store, batch_rows: int, want: Want
) -> Iterator[Batch]:
    """Items of a tar's shard by their place in it; what lies between them is not read, but for small gaps.

    Raises:
        ShardUnreadable: the tar is gone or was changed since planning.
        StorageError: the store failed.
    """
    assert shard.listing is not None, "a tar's shard has a listing"
    rows = read_part(store, shard.listing).take(pa.array(offsets)).to_pylist()
    uri = f"{plan.root}/{shard.path}"
    for chunk in chunks([row["size"] or 0 for row in rows], max_count=batch_rows):
        images = [_range(row["offset"], row["size"], wanted=want.image) for row in rows[chunk]]
        labels = [_range(row["label_offset"], row["label_size"], wanted=want.label) for row in rows[chunk]]
        read = get_ranges(uri, [place for place in images + labels if place is not None], etag=shard.etag)
        yield Batch(
            tuple(
                Item(
                    row=shard.first_row + int(offset),
                    id=f"{shard.path}/{row['key']}",
                    image=None if image is None else read[image],
                    label=None if label is None else _label(read[label], pool.label_column),
                    error=_no_image(pool) if want.image and image is None else None,
                )
                for offset, row, image, label in zip(offsets[chunk], rows[chunk], images, labels, strict=True)
            )
        )


def _range(offset: int | None, size: int | None, *, wanted: bool) -> Range | None:
    return (offset, size) if wanted and offset is not None and size is not None else None


def _no_image(pool: Pool) -> tuple[str, str]:
    kind = "ends like an image" if pool.image_column == "image" else f"ends in .{pool.image_column}"
    return "no_image", f"no member of this sample {kind} and holds bytes of its own"


def _label(data: bytes, extension: str | None) -> str | int:
    text = data.decode("utf-8", errors="replace").strip()
    is_index = extension is not None and extension.lower() in INDEX_EXTENSIONS
    return int(text) if is_index and text.isascii() and text.isdigit() else text
