"""What a partition remembers of transactions about to begin."""

from __future__ import annotations

from tailrace.replication.verification import VERIFICATIONS_MAX, Verifications


def test_what_asks_in_the_epoch_of_a_marker_outlives_it() -> None:
    """Transactions v2: the marker ends what was before its epoch."""
    verifications = Verifications()
    number = begin(verifications, 7, 2)
    verifications.end_before(7, 2)
    assert verifications.holds(7, number)
    verifications.end_before(7, 3)
    assert not verifications.holds(7, number)


def test_the_least_sequence_that_asked_is_known() -> None:
    verifications = Verifications()
    assert verifications.lowest_sequence(7) is None
    for sequence in (5, 3, 8):
        verifications.begin(7, 0, sequence, is_first_write=False)
    assert verifications.lowest_sequence(7) == 3
    assert begin(verifications, 8) and verifications.lowest_sequence(8) is None, "a coordinator's batch has none"


def begin(verifications: Verifications, producer_id: int, epoch: int = 0) -> int:
    return verifications.begin(producer_id, epoch, is_first_write=True)


def test_a_verification_lives_until_the_transaction_does() -> None:
    verifications = Verifications()
    number = begin(verifications, 7)
    assert number and begin(verifications, 7) == number, "asked twice, the same"
    assert verifications.holds(7, number) and not verifications.holds(8, number)
    assert verifications.is_first_write(7) and not verifications.is_first_write(8)
    verifications.end(7)
    assert not verifications.holds(7, number)


def test_an_answer_from_before_a_marker_is_void() -> None:
    """The race of KIP-890: asked, ended by a marker, asked again; the first answer comes last."""
    verifications = Verifications()
    first = begin(verifications, 7)
    verifications.end(7)
    second = begin(verifications, 7)
    assert verifications.holds(7, second) and not verifications.holds(7, first)


def test_a_later_epoch_voids_an_earlier_one() -> None:
    verifications = Verifications()
    first = begin(verifications, 7, 1)
    second = begin(verifications, 7, 2)
    assert not verifications.holds(7, first) and verifications.holds(7, second)
    assert begin(verifications, 7, 1) == second, "an older epoch changes nothing"


def test_the_oldest_goes_at_the_limit() -> None:
    verifications = Verifications()
    numbers = [begin(verifications, producer_id) for producer_id in range(VERIFICATIONS_MAX + 1)]
    assert len(verifications) == VERIFICATIONS_MAX
    assert not verifications.holds(0, numbers[0]) and verifications.holds(1, numbers[1])
