import hashlib

import faiss
import numpy as np
import pytest

from raylabel.errors import StorageError
from raylabel.index.files import drafts, folder_of, keep, read_whole, sweep, unique
from raylabel.workspace import Store


@pytest.fixture(params=["local", "s3"])
def store(request, tmp_path):
    return Store(str(tmp_path / "ws") if request.param == "local" else request.getfixturevalue("s3_prefix"))


def test_a_draft_is_kept_under_its_own_name(store):
    with drafts(store, "index/b") as draft:
        path = draft / unique("part", ".faiss")
        path.write_bytes(b"content")
        name, sha256 = keep(store, path, "index/b")
        (draft / "other").write_bytes(b"left behind")
    assert name.startswith("index/b/part-") and name.endswith(".faiss")
    assert sha256 == hashlib.sha256(b"content").hexdigest()
    assert store.read(name) == b"content"
    assert not draft.exists()
    assert store.list("index/b") == [name.rsplit("/", 1)[-1]]


def test_an_index_is_read_to_be_added_to(store, tmp_path):
    index = faiss.IndexFlatL2(4)
    index.add(np.eye(4, dtype=np.float32))
    with drafts(store, "index/b") as draft:
        faiss.write_index(index, str(draft / "x.faiss"))
        kept = keep(store, draft / "x.faiss", "index/b")
    found = read_whole(store, *kept)
    found.add(np.eye(4, dtype=np.float32))
    assert found.ntotal == 8
    assert read_whole(store, *kept).ntotal == 4
    with pytest.raises(StorageError, match=r"its sha256 is .*…, its record says 000000000000…"):
        read_whole(store, kept[0], "0" * 64)


def test_sweeping_takes_what_was_left_over(store):
    for name in ("add-0000-1.json", "add-0001-x.lists", "part-a.faiss", "trained-0000.json"):
        store.write(f"index/b/{name}", b"1")
    if store.is_local:
        with pytest.raises(KeyError), drafts(store, "index/b") as draft:
            (draft / "half").write_bytes(b"1")
            sweep(store, "index/b", "add-")
            assert not draft.exists()
            raise KeyError
    else:
        sweep(store, "index/b", "add-")
    assert store.list("index/b") == ["part-a.faiss", "trained-0000.json"]
    sweep(store, "index/none", "add-")


def test_names():
    assert folder_of("abc") == "index/abc"
    assert unique("a", ".b") != unique("a", ".b")
