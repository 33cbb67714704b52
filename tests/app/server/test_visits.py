"""What visits add to the protection of kernels that the attacks on the running server test."""

import pytest
from tornado.web import HTTPError

from malaria_detect.app.server.visits import Visits


def test_only_who_was_handed_a_kernels_secret_is_admitted() -> None:
    visits = Visits()
    mine, yours = visits.hand_out("mine"), visits.hand_out("yours")
    assert mine != yours
    assert len(mine) >= 40
    visits.admit("mine", mine)
    for kernel_id, secret in (("mine", yours), ("mine", None), ("mine", "ä"), ("pooled", "None")):
        with pytest.raises(HTTPError, match="404"):
            visits.admit(kernel_id, secret)


def test_there_are_no_more_visits_than_may_be_and_ended_ones_make_room() -> None:
    visits = Visits(most=2)
    running: set[str] = set()
    for kernel_id in ("one", "two"):
        assert visits.begin(running)
        visits.hand_out(kernel_id)
        visits.opened()
        running.add(kernel_id)
    assert not visits.begin(running)
    running.remove("one")
    assert visits.begin(running)
    # A page that is still being made takes a place, too.
    assert not visits.begin(running)
    visits.opened()
    assert visits.begin(running)


def test_many_visits_leave_nothing_behind() -> None:
    visits = Visits()
    for number in range(100):
        assert visits.begin({str(number - 1)})
        visits.hand_out(str(number))
        visits.opened()
    assert len(visits) <= 2


def test_secrets_are_not_shown() -> None:
    visits = Visits()
    secret = visits.hand_out("one")
    assert secret not in repr(visits) + repr(visits.admit("one", secret))
