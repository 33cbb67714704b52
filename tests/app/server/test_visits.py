"""What visits add to the protection of kernels that the attacks on the running server test."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from tornado.web import HTTPError

from malaria_detect.app.server.visits import PageKernels, Visits


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


def test_an_idle_kernel_is_culled_unless_its_page_has_yet_to_connect() -> None:
    async def culled(visits: Visits) -> list[bool]:
        kernels = PageKernels(cull_idle_timeout=1)
        kernel_id = await kernels.start_kernel()
        found = []
        try:
            secret = visits.hand_out(kernel_id)
            kernels.visits = visits
            for claimed in (False, True):
                visits.admit(kernel_id, secret).claimed = claimed
                # As after any late message of a kernel that runs its notebook, and then nothing for long.
                kernel: Any = kernels.get_kernel(kernel_id)
                kernel.last_activity = datetime(2026, 1, 1, tzinfo=UTC)
                await kernels.cull_kernel_if_idle(kernel_id)
                found.append(kernel_id not in kernels)
        finally:
            await kernels.shutdown_all(now=True)
        return found

    assert asyncio.run(culled(Visits())) == [False, True]
