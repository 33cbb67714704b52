"""The HTTP API as a program uses it."""

import json
import re
from typing import Any

import pytest
import requests

import malaria_detect
from malaria_detect.app.server.reception import Limits
from malaria_detect.app.server.service import Service, TokenError
from malaria_detect.app.server.telemetry import Telemetry
from malaria_detect.core.json_io import to_json
from malaria_detect.data.images import MAX_BYTES
from malaria_detect.inference.detector import Detector
from malaria_detect.inference.metadata import RESEARCH_USE
from tests.app.server.interface import END, FORM, GOOD, PART, Running, Worker, begun, problem, serving
from tests.waiting import SECONDS

MOST = Limits().max_pictures


def post(running: Running, body: Any = GOOD, query: str = "", **headers: str) -> requests.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.post(
        f"{running.address}api/predict{query}",
        data=body,
        headers={**running.headers, "Content-Type": FORM, **given},
        timeout=SECONDS,
    )


def test_tells_the_models_answers_in_the_order_of_the_pictures(
    interface: Running, detector: Detector, cell_files: list[bytes]
) -> None:
    answer = interface.predict(cell_files[0], b"no picture", *cell_files[1:])
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    content = answer.json()
    results = content.pop("results")
    refused = results.pop(1)
    assert (refused["path"], refused["decision"]) == ("cell.png", None)
    assert refused["error"]
    # test_one_record compares all values.
    expected = [detector.predict(cell).image_size for cell in cell_files]
    assert [(result["width"], result["height"]) for result in results] == expected
    metadata = detector.metadata
    names = {
        "sha256": metadata.sha256,
        "file_name": metadata.file_name,
        "version": malaria_detect.__version__,
    }
    assert names.items() <= content.pop("model").items()
    assert content == {
        "operating_point": metadata.default_point,
        "request_id": answer.headers["X-Request-Id"],
        "research_use": RESEARCH_USE,
    }


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"query": "?operating_point=certain"}, 400),
        ({"query": "?operating_point="}, 400),
        ({"query": "?operating_point=balanced&operating_point=screening"}, 400),
        ({"query": "?operatingpoint=screening"}, 400),
        ({"query": "?operating_point=%ff"}, 400),
        ({"content_type": ""}, 415),
        ({"content_type": "application/json"}, 415),
        ({"content_type": "image/png"}, 415),
        ({"content_type": "multipart/mixed; boundary=b"}, 415),
        ({"content_type": "multipart/form-dataX"}, 415),
        ({"content_encoding": "gzip"}, 415),
        ({"content_type": "multipart/form-data"}, 400),
        ({"content_type": "multipart/form-data; boundary="}, 400),
        ({"content_type": "multipart/form-data; boundary=" + 71 * "b"}, 400),
        ({"content_type": "multipart/form-data; boundary=\xe9"}, 400),
        ({"body": (MOST + 1) * (PART % b"x") + END}, 422),
    ],
)
def test_refuses_a_request_that_it_does_not_understand(
    interface: Running, sent: dict[str, Any], status: int
) -> None:
    problem(post(interface, **sent), status)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing of a form",
        PART % b"x",
        b"--b\r\nno headers" + END,
        END,
        GOOD.replace(b"pictures", b"picture"),
        GOOD.replace(b'; filename="secret-name.png"', b""),
        PART % b"x" + GOOD.replace(b"pictures", b"more"),
        GOOD.replace(b"pictures", b"\xff\xfe"),
    ],
)
def test_refuses_a_broken_form_and_says_how_to_send_one(interface: Running, body: bytes) -> None:
    assert "pictures=@cell.png" in problem(post(interface, body), 400)


def test_takes_as_many_pictures_as_allowed_and_refuses_one_that_is_too_large_alone(
    interface: Running, cell_files: list[bytes]
) -> None:
    pictures = [bytes(MAX_BYTES + 1), cell_files[0], *[b"x"] * (MOST - 2)]
    large, cell, *others = interface.predict(*pictures).json()["results"]
    assert len(others) == MOST - 2
    assert large["error"]
    assert cell["decision"]


def test_a_body_of_untold_length_is_taken(interface: Running, cell_files: list[bytes]) -> None:
    body = PART % cell_files[0] + END
    assert post(interface, iter([body[:50], body[50:]])).json()["results"][0]["decision"]


def test_decides_at_the_operating_point_of_the_query(interface: Running, cell_files: list[bytes]) -> None:
    content = interface.predict(cell_files[0], query="?operating_point=counting").json()
    assert content["operating_point"] == content["results"][0]["operating_point"] == "counting"


@pytest.mark.parametrize("length", ["-1", "x", "1e3", 5000 * "9"])
def test_a_length_that_is_none_ends_the_connection_and_not_the_server(
    interface: Running, length: str
) -> None:
    authorization = f"Authorization: Bearer {interface.token}"
    with begun(interface, authorization, f"Content-Length: {length}") as connection:
        assert connection.makefile("rb").readline() == b"HTTP/1.1 400 Bad Request\r\n"
    assert interface.get("api/health").status_code == 200


@pytest.mark.parametrize("path", ["api/model", "api/openapi.json", "metrics"])
@pytest.mark.parametrize("given", ["", "Bearer wrong", "Basic s3cret-token", "s3cret-token", "Bearer \xe9"])
def test_asks_for_the_token(interface: Running, path: str, given: str) -> None:
    headers = {"Authorization": given.encode("latin-1")} if given else {}
    answer = requests.get(interface.address + path, headers=headers, timeout=SECONDS)
    problem(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert interface.get(path).status_code == 200


@pytest.mark.parametrize("token", ["", " ", "two words", "ümlaut", "new\nline"])
def test_refuses_a_token_that_cannot_be_one(detector: Detector, token: str) -> None:
    telemetry = Telemetry(queue_length=lambda: 0, workers_alive=lambda: 1)
    with pytest.raises(TokenError):
        Service("/", Worker(detector), detector.metadata, Limits(), token, telemetry)


def test_health_needs_no_token(interface: Running) -> None:
    assert requests.get(interface.address + "api/health", timeout=SECONDS).json() == {"status": "ok"}


def test_the_metadata_is_that_of_the_model(interface: Running, detector: Detector) -> None:
    assert interface.get("api/model").json() == json.loads(to_json(detector.metadata))


@pytest.mark.parametrize("path", ["api/predict", "api/health", "api/model", "api/openapi.json", "metrics"])
def test_refuses_other_methods_and_says_which_it_takes(interface: Running, path: str) -> None:
    takes = "POST" if path == "api/predict" else "GET, HEAD"
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        if method in takes:
            continue
        answer = requests.request(
            method, interface.address + path, headers=interface.headers, timeout=SECONDS
        )
        assert answer.status_code == 405
        assert sorted(answer.headers["Allow"].split(", ")) == sorted(takes.split(", "))


@pytest.mark.parametrize("path", ["api/health", "api/model", "api/openapi.json", "metrics"])
def test_answers_head_without_a_body(interface: Running, path: str) -> None:
    answer = requests.head(interface.address + path, headers=interface.headers, timeout=SECONDS)
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


def test_serves_below_a_base_url(detector: Detector) -> None:
    with serving(Worker(detector), base_url="/malaria/") as running:
        assert running.get("api/health").status_code == 200
        assert running.get("api/openapi.json").json()["servers"] == [{"url": "/malaria"}]
