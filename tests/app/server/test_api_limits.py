"""The HTTP API when there is too much, too slow or broken: bodies, the queue, workers that fail or are stuck."""

import json
from dataclasses import replace

import pytest

from malaria_detect.app.workers.pool import Overloaded, WorkerLost
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.metadata import MetadataError
from tests.app.server.interface import (
    GOOD,
    PATIENT,
    Failing,
    Stuck,
    Worker,
    answered,
    begun,
    problem,
    serving,
)
from tests.waiting import SECONDS


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        ("Content-Length: 1000000000000", b""),
        # One chunk is announced that would never end.
        ("Transfer-Encoding: chunked", b"ffffffff\r\n" + bytes(1001)),
    ],
)
def test_a_body_that_is_too_large_is_refused_before_it_is_there(
    detector: Detector, header: str, sent: bytes
) -> None:
    limits = replace(PATIENT, max_body_bytes=1000)
    with serving(Worker(detector), limits) as running, begun(running, header) as connection:
        connection.sendall(sent)
        response = answered(connection)
        assert response.status == 413
        assert response.headers["Connection"] == "close"
        assert b"1,000 bytes" in response.read()


def test_no_more_bodies_arrive_at_once_than_allowed(detector: Detector) -> None:
    length = f"Content-Length: {len(GOOD)}"
    with (
        serving(Worker(detector), replace(PATIENT, uploads=1)) as running,
        begun(running, length, "Expect: 100-continue") as first,
    ):
        assert b"100" in first.recv(100)  # the first is waited for
        with begun(running, length, "Expect: 100-continue") as second:
            response = answered(second)
            assert response.status == 503
            assert int(response.headers["Retry-After"]) >= 1
        first.sendall(GOOD)
        assert answered(first).status == 200
        assert running.predict(b"x").status_code == 200


def test_an_upload_that_is_broken_off_makes_room_for_the_next(detector: Detector) -> None:
    with serving(Worker(detector), replace(PATIENT, uploads=1)) as running:
        with begun(running, "Content-Length: 1000", "Expect: 100-continue") as first:
            assert b"100" in first.recv(100)
        assert running.logged()["status"] == 499
        assert running.predict(b"x").status_code == 200


def test_bodies_together_take_no_more_memory_than_allowed(detector: Detector) -> None:
    limits = replace(PATIENT, max_body_bytes=1000, max_held_bytes=1500)
    with (
        serving(Worker(detector), limits) as running,
        begun(running, "Content-Length: 1000", "Expect: 100-continue") as first,
    ):
        assert b"100" in first.recv(100)
        problem(running.predict(bytes(500)), 503)
        first.close()
        assert {running.logged()["status"], running.logged()["status"]} == {503, 499}
        assert running.predict(bytes(500)).status_code == 200


def test_a_body_that_does_not_come_is_not_waited_for(detector: Detector) -> None:
    with (
        serving(Worker(detector), replace(PATIENT, body_seconds=0.1)) as running,
        begun(running, "Content-Length: 1000") as connection,
    ):
        assert connection.recv(1) == b""
        assert running.logged()["status"] == 499


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (Overloaded("Come again.", 7), 503, "7"),
        (WorkerLost("The image was not processed.", "worker_lost"), 500, None),
    ],
)
def test_a_full_queue_and_a_lost_worker_are_told_and_only_one_may_be_repeated(
    detector: Detector, error: Exception, status: int, retry_after: str | None
) -> None:
    with serving(Failing(detector, error)) as running:
        answer = running.predict(b"x")
        assert problem(answer, status) == str(error)
        assert answer.headers.get("Retry-After") == retry_after


def test_an_unforeseen_error_is_told_by_its_id_only(detector: Detector) -> None:
    with serving(Failing(detector, ZeroDivisionError("secret"))) as running:
        answer = running.predict(b"x")
        assert "log" in problem(answer, 500)
        failure, line = running.logged(), running.logged()
        assert failure["error"] == "ZeroDivisionError"
        assert failure["request_id"] == line["request_id"] == answer.headers["X-Request-Id"]
        assert "predict" in failure["traceback"]
        assert "secret" not in answer.text + json.dumps(failure)


def test_the_log_tells_why_the_model_cannot_be_opened_and_the_answer_does_not(detector: Detector) -> None:
    with serving(Failing(detector, MetadataError("/srv/export.pkl is missing.", "missing"))) as running:
        assert "/srv" not in problem(running.predict(b"x"), 500)
        assert running.logged()["message"] == "/srv/export.pkl is missing."


def test_an_answer_that_takes_too_long_is_given_up(detector: Detector) -> None:
    stuck = Stuck(detector)
    with serving(stuck, replace(PATIENT, answer_seconds=0.1)) as running:
        answer = running.predict(b"x")
        assert "0.1 s" in problem(answer, 503)
        assert int(answer.headers["Retry-After"]) >= 1
        assert stuck.dropped.wait(SECONDS)


def test_the_work_for_a_client_that_left_is_dropped(detector: Detector) -> None:
    stuck = Stuck(detector)
    with serving(stuck) as running:
        with begun(running, f"Content-Length: {len(GOOD)}") as connection:
            connection.sendall(GOOD)
            assert stuck.begun.wait(SECONDS)
        assert stuck.dropped.wait(SECONDS)
        assert running.logged()["status"] == 499


def test_asks_for_the_token_before_it_reads_a_picture(detector: Detector) -> None:
    with (
        serving(Worker(detector), token="abc") as running,
        begun(running, "Content-Length: 1000") as connection,
    ):
        assert answered(connection).status == 401


def test_is_not_well_without_a_worker(detector: Detector) -> None:
    with serving(Worker(detector, alive=0)) as running:
        problem(running.get("api/health"), 503)
