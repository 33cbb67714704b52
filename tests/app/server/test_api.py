import http.client
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import requests

import malaria_detect
from malaria_detect.app.server.api import Limits, api_rules
from malaria_detect.app.server.errors import Overloaded, WorkerLost
from malaria_detect.app.server.service import TokenError
from malaria_detect.app.server.telemetry import Telemetry
from malaria_detect.core.json_io import to_json
from malaria_detect.data.images import MAX_BYTES
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.metadata import RESEARCH_USE, MetadataError
from tests.app.server.interface import PATIENCE, PATIENT, Failing, Running, Stuck, Worker, serving

PART = b'--b\r\nContent-Disposition: form-data; name="pictures"; filename="secret-name.png"\r\n\r\n%s\r\n'
END = b"--b--\r\n"


def problem(answer: requests.Response, status: int) -> str:
    """The sentence of a problem, which is as RFC 9457 wants it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    content = answer.json()
    assert content["status"] == status
    assert content["request_id"] == answer.headers["X-Request-Id"]
    return str(content["detail"])


def post(
    running: Running, body: bytes, content_type: str = "multipart/form-data; boundary=b", **headers: str
) -> requests.Response:
    return requests.post(
        running.address + "api/predict",
        data=body,
        headers=running.headers
        | {"Content-Type": content_type}
        | {name.replace("_", "-"): value for name, value in headers.items()},
        timeout=PATIENCE,
    )


@contextmanager
def begun(running: Running, *headers: str) -> Iterator[socket.socket]:
    """A connection over which the head of a request was sent."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE) as connection:
        head = [
            "POST /api/predict HTTP/1.1",
            "Host: localhost",
            "Content-Type: multipart/form-data; boundary=b",
            *headers,
        ]
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        yield connection


def answered(connection: socket.socket) -> tuple[http.client.HTTPResponse, str]:
    """The answer that comes over a connection, and its problem's sentence."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response, str(json.loads(response.read())["detail"])


def test_tells_the_models_answers_in_the_order_of_the_pictures(
    interface: Running, detector: Detector, cell_files: list[bytes]
) -> None:
    answer = interface.predict(cell_files[0], b"no picture", *cell_files[1:])
    assert answer.status_code == 200
    content = answer.json()
    expected = [detector.predict(cell) for cell in cell_files]
    results = content.pop("results")
    refused = results.pop(1)
    assert (refused["path"], refused["decision"]) == ("cell.png", None)
    assert refused["error"]
    for result, prediction in zip(results, expected, strict=True):
        assert result["probability_parasitized"] == pytest.approx(
            prediction.probability_parasitized, abs=1e-4
        )
        assert result["decision"] == prediction.decision
        assert (result["width"], result["height"]) == prediction.image_size
    model = content.pop("model")
    metadata = detector.metadata
    assert model["sha256"] == metadata.sha256
    assert model["file_name"] == metadata.file_name
    assert model["version"] == malaria_detect.__version__
    assert content == {
        "operating_point": metadata.default_point,
        "request_id": answer.headers["X-Request-Id"],
        "research_use": RESEARCH_USE,
    }


@pytest.mark.parametrize("name", ["screening", "balanced", "counting"])
def test_decides_at_the_operating_point_of_the_query(
    interface: Running, detector: Detector, cell_files: list[bytes], name: str
) -> None:
    content = interface.predict(cell_files[0], query=f"?operating_point={name}").json()
    assert content["operating_point"] == name
    assert content["results"][0]["operating_point"] == name
    assert content["results"][0]["threshold"] == detector.metadata.point(name).threshold


@pytest.mark.parametrize(
    "query",
    [
        "?operating_point=certain",
        "?operating_point=",
        "?operating_point=balanced&operating_point=screening",
        "?operatingpoint=screening",
        "?operating_point=%ff",
    ],
)
def test_refuses_a_query_that_it_does_not_understand(
    interface: Running, cell_files: list[bytes], query: str
) -> None:
    problem(interface.predict(cell_files[0], query=query), 400)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"nothing of a form", "malformed"),
        (PART % b"x", "malformed"),
        (b"--b\r\nno headers" + END, "malformed"),
        (END, "no file named pictures"),
        ((PART % b"x").replace(b"pictures", b"picture") + END, "no file named pictures"),
        ((PART % b"x").replace(b'; filename="secret-name.png"', b"") + END, "not a file"),
        (PART % b"x" + (PART % b"x").replace(b"pictures", b"more") + END, "not named pictures"),
        ((PART % b"x").replace(b"pictures", b"\xff\xfe") + END, "malformed"),
    ],
)
def test_refuses_a_broken_form_and_says_what_was_wanted(interface: Running, body: bytes, said: str) -> None:
    sentence = problem(post(interface, body), 400)
    assert said in sentence
    assert "pictures=@cell.png" in sentence


@pytest.mark.parametrize(
    "content_type",
    ["", "application/json", "image/png", "multipart/mixed; boundary=b", "multipart/form-dataX"],
)
def test_refuses_other_content_types(interface: Running, content_type: str) -> None:
    problem(post(interface, PART % b"x" + END, content_type), 415)


def test_refuses_a_compressed_body(interface: Running) -> None:
    problem(post(interface, PART % b"x" + END, content_encoding="gzip"), 415)


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=" + 71 * "b", "; boundary=\xe9"])
def test_refuses_a_form_without_a_proper_boundary(interface: Running, boundary: str) -> None:
    problem(post(interface, PART % b"x" + END, "multipart/form-data" + boundary), 400)


def test_takes_as_many_pictures_as_allowed_and_no_more(interface: Running) -> None:
    most = Limits().max_pictures
    answer = post(interface, most * (PART % b"x") + END)
    assert len(answer.json()["results"]) == most
    assert f"limit is {most} images" in problem(post(interface, (most + 1) * (PART % b"x") + END), 422)


def test_refuses_one_picture_that_is_too_large_and_answers_for_the_others(
    interface: Running, cell_files: list[bytes]
) -> None:
    large, cell = interface.predict(bytes(MAX_BYTES + 1), cell_files[0]).json()["results"]
    assert "MB" in large["error"]
    assert "decision" in cell


def test_a_body_that_is_announced_as_too_large_is_refused_before_it_is_sent(detector: Detector) -> None:
    with (
        serving(Worker(detector), replace(PATIENT, max_body_bytes=1000)) as running,
        begun(running, "Content-Length: 1000000000000") as connection,
    ):
        response, sentence = answered(connection)
        assert response.status == 413
        assert response.headers["Connection"] == "close"
        assert "1,000 bytes" in sentence
        assert connection.recv(1) == b""


@pytest.mark.parametrize("length", ["-1", "x", "1e3", 5000 * "9"])
def test_a_length_that_is_none_ends_the_connection_and_not_the_server(
    interface: Running, length: str
) -> None:
    authorization = f"Authorization: Bearer {interface.token}"
    with begun(interface, authorization, f"Content-Length: {length}") as connection:
        assert connection.makefile("rb").readline() == b"HTTP/1.1 400 Bad Request\r\n"
    assert interface.get("api/health").status_code == 200


def test_a_body_of_untold_length_is_refused_once_it_is_too_large(detector: Detector) -> None:
    with (
        serving(Worker(detector), replace(PATIENT, max_body_bytes=1000)) as running,
        begun(running, "Transfer-Encoding: chunked") as connection,
    ):
        # One chunk is announced that would never end.
        connection.sendall(b"ffffffff\r\n" + bytes(1001))
        response, sentence = answered(connection)
        assert response.status == 413
        assert "1,000 bytes" in sentence


def test_a_body_of_untold_length_is_taken(interface: Running, cell_files: list[bytes]) -> None:
    body = PART % cell_files[0] + END
    answer = requests.post(
        interface.address + "api/predict",
        data=iter([body[:50], body[50:]]),
        headers=interface.headers | {"Content-Type": "multipart/form-data; boundary=b"},
        timeout=PATIENCE,
    )
    assert answer.json()["results"][0]["decision"]


def test_no_more_bodies_arrive_at_once_than_allowed(detector: Detector) -> None:
    body = PART % b"x" + END
    length = f"Content-Length: {len(body)}"
    with (
        serving(Worker(detector), replace(PATIENT, uploads=1)) as running,
        begun(running, length, "Expect: 100-continue") as first,
    ):
        assert b"100" in first.recv(100)  # the first is waited for
        with begun(running, length, "Expect: 100-continue") as second:
            response, _ = answered(second)
            assert response.status == 503
            assert int(response.headers["Retry-After"]) >= 1
        first.sendall(body)
        response = http.client.HTTPResponse(first)
        response.begin()
        assert response.status == 200
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


def test_a_full_queue_says_when_to_come_again(detector: Detector) -> None:
    with serving(Failing(detector, Overloaded("Come again.", 7))) as running:
        answer = running.predict(b"x")
        assert problem(answer, 503) == "Come again."
        assert answer.headers["Retry-After"] == "7"


def test_a_lost_worker_is_told_and_not_to_be_repeated(detector: Detector) -> None:
    with serving(Failing(detector, WorkerLost("The image was not processed."))) as running:
        answer = running.predict(b"x")
        assert problem(answer, 500) == "The image was not processed."
        assert "Retry-After" not in answer.headers


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
    with serving(Failing(detector, MetadataError("/srv/export.pkl is missing."))) as running:
        assert "/srv" not in problem(running.predict(b"x"), 500)
        assert running.logged()["message"] == "/srv/export.pkl is missing."


def test_an_answer_that_takes_too_long_is_given_up(detector: Detector) -> None:
    stuck = Stuck(detector)
    with serving(stuck, replace(PATIENT, answer_seconds=0.1)) as running:
        answer = running.predict(b"x")
        assert "0.1 s" in problem(answer, 503)
        assert int(answer.headers["Retry-After"]) >= 1
        assert stuck.dropped.wait(PATIENCE)


def test_the_work_for_a_client_that_left_is_dropped(detector: Detector) -> None:
    stuck = Stuck(detector)
    body = PART % b"x" + END
    with serving(stuck) as running:
        with begun(running, f"Content-Length: {len(body)}") as connection:
            connection.sendall(body)
            assert stuck.begun.wait(PATIENCE)
        assert stuck.dropped.wait(PATIENCE)
        assert running.logged()["status"] == 499


@pytest.mark.parametrize("path", ["api/model", "api/openapi.json", "metrics"])
@pytest.mark.parametrize("given", ["", "Bearer wrong", "Basic s3cret-token", "s3cret-token", "Bearer \xe9"])
def test_asks_for_the_token(interface: Running, path: str, given: str) -> None:
    headers = {"Authorization": given.encode("latin-1")} if given else {}
    answer = requests.get(interface.address + path, headers=headers, timeout=PATIENCE)
    problem(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert interface.get(path).status_code == 200


def test_asks_for_the_token_before_it_reads_a_picture(detector: Detector) -> None:
    with (
        serving(Worker(detector), token="abc") as running,
        begun(running, "Content-Length: 1000") as connection,
    ):
        assert answered(connection)[0].status == 401


@pytest.mark.parametrize("token", ["", " ", "two words", "ümlaut", "new\nline"])
def test_refuses_a_token_that_cannot_be_one(detector: Detector, token: str) -> None:
    telemetry = Telemetry(queue_length=lambda: 0, workers_alive=lambda: 1)
    with pytest.raises(TokenError):
        api_rules("/", Worker(detector), detector.metadata, Limits(), token, telemetry)


def test_health_needs_no_token(interface: Running) -> None:
    answer = requests.get(interface.address + "api/health", timeout=PATIENCE)
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok"}


def test_is_not_well_without_a_worker(detector: Detector) -> None:
    worker = Worker(detector)
    worker.alive = 0
    with serving(worker) as running:
        problem(running.get("api/health"), 503)


def test_the_metadata_is_that_of_the_model(interface: Running, detector: Detector) -> None:
    assert interface.get("api/model").json() == json.loads(to_json(detector.metadata))


@pytest.mark.parametrize("path", ["api/predict", "api/health", "api/model", "api/openapi.json", "metrics"])
def test_refuses_other_methods_and_says_which_it_takes(interface: Running, path: str) -> None:
    takes = "POST" if path == "api/predict" else "GET, HEAD"
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        if method in takes:
            continue
        answer = requests.request(
            method, interface.address + path, headers=interface.headers, timeout=PATIENCE
        )
        assert answer.status_code == 405
        assert sorted(answer.headers["Allow"].split(", ")) == sorted(takes.split(", "))


@pytest.mark.parametrize("path", ["api/health", "api/model", "api/openapi.json", "metrics"])
def test_answers_head_without_a_body(interface: Running, path: str) -> None:
    answer = requests.head(interface.address + path, headers=interface.headers, timeout=PATIENCE)
    assert answer.status_code == 200
    assert int(answer.headers["Content-Length"]) > 0
    assert answer.content == b""


def test_takes_over_a_proper_request_id_and_makes_one_otherwise(interface: Running) -> None:
    for given in ("my-id.7_a", 64 * "x"):
        answer = interface.predict(b"x", headers={"X-Request-Id": given})
        assert answer.headers["X-Request-Id"] == answer.json()["request_id"] == given
    for given in ("", 65 * "x", "a b", '"', "é"):
        answer = interface.predict(b"x", headers={"X-Request-Id": given.encode()})  # type: ignore[dict-item]
        assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-Id"])


def test_no_other_site_may_read_an_answer_and_nobody_stores_it(interface: Running) -> None:
    for answer in (
        interface.predict(b"x", headers={"Origin": "https://other.example"}),
        interface.get("api/model"),
        interface.get("api/predict"),
    ):
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Server" not in answer.headers


def test_serves_below_a_base_url(detector: Detector) -> None:
    with serving(Worker(detector), base_url="/malaria/") as running:
        assert running.get("api/health").status_code == 200
        assert running.get("api/openapi.json").json()["servers"] == [{"url": "/malaria"}]


def test_the_interface_loads_no_torch() -> None:
    program = "import sys, malaria_detect.app.server.api; print({'torch', 'fastai'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
