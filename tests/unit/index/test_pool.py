import numpy as np
import pyarrow as pa

from raylabel import schema
from raylabel.index import build, pool_neighbours
from raylabel.index.pool import others
from raylabel.workspace import read_part


def test_the_item_itself_is_left_out():
    rows = np.array([[4, 1, 2], [1, 5, 3], [7, 8, 9]])
    order = others(rows, np.array([4, 5, 6]))
    assert np.take_along_axis(rows, order, axis=1).tolist() == [[1, 2], [1, 3], [7, 8]]


def test_neighbours_of_a_whole_pool(ray_session, pool_of, monkeypatch):
    pool = pool_of(4)
    record = build(pool.campaign, pool.ref, pool.pieces)
    found = pool_neighbours(pool.campaign, record, pool.pieces, size=5)
    tables = [read_part(pool.campaign.store, part) for part in found.parts]
    assert found.spans == ((0, 11_998),)
    assert all(table.schema.equals(schema.NEIGHBOURS) for table in tables)
    table = pa.concat_tables(tables)
    assert table.column("row").to_pylist() == pool.rows.tolist()
    rows = np.array(table.column("neighbours").to_pylist())
    assert rows.shape == (6000, 5)
    assert not (rows == pool.rows[:, None]).any()
    exact, distances = pool.exact(pool.vectors[::100], 6)
    hits = [len(set(a) & set(b)) for a, b in zip(rows[::100].tolist(), exact[:, 1:].tolist(), strict=True)]
    assert np.mean(hits) / 5 >= 0.95
    says = np.array(table.column("distances").to_pylist())[::100]
    assert (np.diff(says, axis=1) >= 0).all()
    assert np.isclose(says, distances[:, 1:], atol=2e-3).mean() >= 0.9
    again = pool_neighbours(pool.campaign, record, pool.pieces, size=5)
    assert again.parts == found.parts
