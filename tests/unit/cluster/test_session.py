"""When a broker may count on its lease, by its own clock."""

from __future__ import annotations

from tailrace.cluster.session import Session


def test_it_counts_from_when_the_renewal_was_sent_and_ends_before_the_store_ends_it() -> None:
    session = Session(1000)
    assert not session.is_held(0)
    session.on_renewed(100, 150)
    assert session.is_held(999)
    assert not session.is_held(1000)


def test_answers_may_come_out_of_order() -> None:
    session = Session(1000)
    session.on_renewed(300, 310)
    session.on_renewed(100, 320)
    assert session.is_held(1199)


def test_a_late_answer_goes_on_with_a_lease_and_begins_none() -> None:
    session = Session(1000)
    session.on_renewed(0, 501)
    assert not session.is_held(502)
    session.on_renewed(600, 700)
    session.on_renewed(800, 1400)
    assert session.is_held(1699)
    session.on_renewed(1800, 2500)
    assert not session.is_held(2500)


def test_a_lost_lease_is_not_counted_on() -> None:
    session = Session(1000)
    session.on_renewed(0, 0)
    session.on_lost()
    assert not session.is_held(1)
