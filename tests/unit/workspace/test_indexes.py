import hashlib
import os
from pathlib import Path

import faiss
import numpy as np
import pytest

from raylabel.errors import StorageError
from raylabel.workspace import indexes
from raylabel.workspace.indexes import checked_files, open_index, sha256_of

DIM = 8
VECTORS = np.random.default_rng(0).standard_normal((300, DIM)).astype(np.float16).astype(np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache of this test's own."""
    monkeypatch.setattr(indexes, "_cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def stored(store, work: Path, *, cells: int) -> dict:
    """An index as a build leaves it: one file, or with the vectors of its cells in a second one."""
    work.mkdir(parents=True, exist_ok=True)
    factory = f"IVF{cells},SQfp16" if cells else "SQfp16"
    index = faiss.index_factory(DIM, factory if cells else f"IDMap2,{factory}")
    index.train(VECTORS)
    rows = np.arange(300) * 2
    index.add_with_ids(VECTORS, rows)
    data = work / "x.ivfdata"
    if cells:
        lists = faiss.OnDiskInvertedLists(cells, index.code_size, str(data))
        merged = faiss.InvertedListsPtrVector()
        merged.push_back(index.invlists)
        lists.merge_from_multiple(merged.data(), 1, False)
        index.replace_invlists(lists, True)
        lists.this.disown()
    faiss.write_index(index, str(work / "x.faiss"))
    del index
    facts = {"index": "index/b/x.faiss", "sha256": sha256_of(work / "x.faiss"), "data": None, "data_sha256": None}
    if cells:
        facts |= {"data": "index/b/x.ivfdata", "data_sha256": sha256_of(data)}
        store.upload(data, "index/b/x.ivfdata")
    store.upload(work / "x.faiss", "index/b/x.faiss")
    return facts | {"factory": factory, "num_rows": 300, "dim": DIM, "nprobe": cells, "backbone": "b" * 20}


@pytest.mark.parametrize("cells", [0, 4])
def test_an_index_is_mapped_and_answers_as_brute_force(store, tmp_path, cells):
    facts = stored(store, tmp_path / "work", cells=cells)
    index = open_index(store, facts, backbone="b" * 20)
    _, rows = index.search(VECTORS[:50], 3)
    exact = ((VECTORS[:50, None].astype(np.float64) - VECTORS[None]) ** 2).sum(axis=2)
    assert rows.tolist() == (np.argsort(exact, axis=1)[:, :3] * 2).tolist()
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line]
    assert any(line.endswith("x.ivfdata" if cells else "x.faiss") for line in mapped)
    assert all(line.split()[1].startswith("r--") for line in mapped), "mapped to read only"


@pytest.mark.parametrize("which", ["index", "data"])
@pytest.mark.parametrize("change", ["byte", "cut", "other"])
def test_a_changed_file_is_refused_before_faiss_reads_it(store, tmp_path, monkeypatch, which, change):
    facts = stored(store, tmp_path / "work", cells=4)
    data = bytearray(store.read(facts[which]))
    data[len(data) // 2] ^= 1
    store.write(facts[which], {"byte": bytes(data), "cut": bytes(data[:-10]), "other": b"no index"}[change])
    read = []
    monkeypatch.setattr("faiss.read_index", lambda *args: read.append(args))
    with pytest.raises(
        StorageError, match=rf"{facts[which]}: its sha256 is .*…, its record says .*; remove .*index and"
    ):
        open_index(store, facts)
    assert read == []


@pytest.mark.parametrize("which", ["index", "data"])
def test_a_lost_file(store, tmp_path, which):
    facts = stored(store, tmp_path / "work", cells=4)
    store.remove(facts[which])
    with pytest.raises(StorageError, match=rf"{facts[which]}: a record names this file, but it is gone; remove"):
        open_index(store, facts)


def test_an_index_of_another_backbone_or_size(store, tmp_path):
    facts = stored(store, tmp_path / "work", cells=0)
    with pytest.raises(StorageError, match=r"an index of backbone bbbbbbbbbbbb, asked for one of cccccccccccc;"):
        open_index(store, facts, backbone="c" * 20)
    with pytest.raises(StorageError, match=r"holds 300 vectors of dimension 8, its record says 300 of 16; remove"):
        open_index(store, facts | {"dim": 16})
    with pytest.raises(StorageError, match=r"holds 300 vectors of dimension 8, its record says 1,299 of 8; remove"):
        open_index(store, facts | {"num_rows": 1299})


def test_a_file_is_hashed_once_until_it_is_written_to(store, tmp_path, monkeypatch):
    facts = stored(store, tmp_path / "work", cells=4)
    open_index(store, facts)
    hashed = []
    monkeypatch.setattr(indexes, "sha256_of", lambda path: hashed.append(path.name) or sha256_of(path))
    open_index(store, facts)
    assert hashed == []
    [path] = checked_files(store, [(facts["data"], facts["data_sha256"])])
    hashed.clear()
    os.utime(path, ns=(1, 1))
    checked_files(store, [(facts["data"], facts["data_sha256"])])
    assert hashed == ["x.ivfdata"]


def test_an_object_is_fetched_once_per_node(s3_prefix, cache, tmp_path, monkeypatch):
    from raylabel.workspace import Store

    store = Store(s3_prefix)
    facts = stored(store, tmp_path / "work", cells=4)
    open_index(store, facts)
    store.remove(facts["index"])
    assert open_index(store, facts).ntotal == 300, "from the folder of this node"
    assert [path.name for path in cache.iterdir()] == [
        hashlib.sha256((facts["sha256"] + facts["data_sha256"]).encode()).hexdigest()
    ], "no draft is left"


def test_two_fetch_at_once(s3_prefix, cache, tmp_path, monkeypatch):
    """Another process of the node has put the files there while this one was fetching them."""
    from raylabel.workspace import Store

    store = Store(s3_prefix)
    facts = stored(store, tmp_path / "work", cells=0)
    download = Store.download

    def slowly(self, name, path):
        download(self, name, path)
        monkeypatch.setattr(Store, "download", download)
        open_index(store, facts)

    monkeypatch.setattr(Store, "download", slowly)
    assert open_index(store, facts).ntotal == 300
    assert len(list(cache.iterdir())) == 1
