from raylabel.labeling.review.leases import LEASE_S, Lease, Leases


def test_a_lease_is_a_pages_until_it_is_silent():
    leases = Leases()
    leases.add(3, "a", "ann", 10.0)
    assert 3 in leases and 4 not in leases
    assert leases.holder(3, 10.0 + LEASE_S - 1) == Lease("a", "ann", 10.0 + LEASE_S)
    assert leases.holder(3, 10.0 + LEASE_S) is None
    assert leases.find(3) is not None  # until somebody takes it
    assert (leases.expired(10.0 + LEASE_S - 1), leases.expired(10.0 + LEASE_S)) == ([], [3])


def test_a_sign_of_life_renews_all_that_a_page_has():
    leases = Leases()
    for row, page in ((1, "a"), (2, "a"), (3, "b")):
        leases.add(row, page, "ann", 0.0)
    leases.renew("a", 50.0)
    assert leases.of("a") == {1, 2}
    assert leases.expired(LEASE_S) == [3]
    assert leases.expired(50.0 + LEASE_S) == [1, 2, 3]


def test_what_was_dropped_is_nobodys():
    leases = Leases()
    leases.add(1, "a", "ann", 0.0)
    leases.drop(1)
    assert (1 in leases, leases.find(1), leases.of("a"), leases.expired(999.0)) == (False, None, frozenset(), [])


def test_a_lease_that_has_run_out_may_go_to_another_page():
    leases = Leases()
    leases.add(1, "a", "ann", 0.0)
    leases.add(1, "b", "bob", 500.0)
    leases.renew("a", 600.0)
    assert (leases.of("a"), leases.of("b")) == (frozenset(), {1})
    assert leases.find(1) == Lease("b", "bob", 500.0 + LEASE_S)
