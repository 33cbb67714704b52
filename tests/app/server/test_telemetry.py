import io
import json
import logging
from datetime import datetime
from functools import partial

import requests
from tornado.web import RequestHandler

from malaria_detect.app.server.telemetry import LOGGER, Telemetry, log_to
from malaria_detect.inference.detector import Detector
from tests.app.server.interface import Running, Worker, serving
from tests.waiting import SECONDS


class Page(RequestHandler):
    """Any other handler of the server."""

    def get(self, rest: str) -> None:
        self.write("a page")


def numbers(running: Running) -> dict[str, float]:
    lines = running.get("metrics").text.splitlines()
    return {
        line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")
    }


def test_a_request_is_one_line_that_tells_neither_path_nor_query_nor_file_name(detector: Detector) -> None:
    with serving(Worker(detector), others=[("/page/(.*)", Page)]) as running:
        files = [("pictures", ("patient-7.png", b"secret"))]
        answer = requests.post(
            running.address + "api/predict?operating_point=screening",
            files=files,
            headers={"User-Agent": "someone", "X-Request-Id": "mine"},
            timeout=SECONDS,
        )
        text = running.lines.get(timeout=SECONDS)
        assert "\n" not in text
        line = json.loads(text)
        assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
        assert line.pop("ms") > 0
        assert line == {
            "request_id": "mine",
            "method": "POST",
            "route": "/api/predict",
            "status": 200,
            "bytes": len(answer.content),
            "pictures": 1,
        }
        requests.get(running.address + "page/patient-7?name=patient-7", timeout=SECONDS)
        requests.get(running.address + "nowhere/patient-7", timeout=SECONDS)
        page, nowhere = running.lines.get(timeout=SECONDS), running.lines.get(timeout=SECONDS)
        assert "patient-7" not in page + nowhere
        assert json.loads(page)["route"] == "Page"
        assert json.loads(nowhere)["status"] == 404


def test_nobody_writes_lines_of_their_own_into_the_log() -> None:
    strange = "GET\n{}\r\x85\u2028"
    stream = io.StringIO()
    logger = logging.getLogger(LOGGER)
    before = logger.handlers, logger.level, logger.propagate
    try:
        log_to(stream)
        logger.info({"method": strange})
        logger.warning("worker %s ended", strange)
    finally:
        logger.handlers, logger.level, logger.propagate = before
    request, message = map(json.loads, stream.getvalue().splitlines())
    assert request["method"] == strange
    assert message["message"] == f"worker {strange} ended"
    assert message["level"] == "warning"


def test_counts_requests_pictures_and_refusals(detector: Detector, cell_files: list[bytes]) -> None:
    with serving(Worker(detector), token="abc") as running:
        before = numbers(running)
        running.predict(cell_files[0], b"no picture")
        running.predict(b"x", query="?wrong=1")
        after = numbers(running)
    assert after["malaria_detect_pictures_total"] - before["malaria_detect_pictures_total"] == 2
    assert after["malaria_detect_refusals_total"] - before["malaria_detect_refusals_total"] == 1
    route = 'method="POST",route="/api/predict",status='
    assert after[f'malaria_detect_requests_total{{{route}"200"}}'] == 1
    assert after[f'malaria_detect_requests_total{{{route}"400"}}'] == 1
    assert after['malaria_detect_request_seconds_count{route="/api/predict"}'] == 2


def test_strange_methods_make_no_series_of_their_own(detector: Detector) -> None:
    with serving(Worker(detector)) as running:
        for method in ("BREW", "X-1", "X-2"):
            answer = requests.request(method, running.address + "api/model", timeout=SECONDS)
            assert answer.status_code == 405
        found = [name for name in numbers(running) if "_total" in name and 'status="405"' in name]
        assert found == ['malaria_detect_requests_total{method="other",route="/api/model",status="405"}']


def test_asks_for_what_changes_by_itself_and_counts_for_one_server() -> None:
    state = {"queue_length": 0, "workers_alive": 0, "kernels_running": 0}
    ways = {name: partial(state.__getitem__, name) for name in state}
    telemetry, other = Telemetry(**ways), Telemetry(**ways)
    state.update(queue_length=5, workers_alive=6, kernels_running=7)
    telemetry.pictures.inc(3)
    shown = telemetry.exposition().decode().splitlines()
    assert {f"malaria_detect_{name} {number}.0" for name, number in state.items()} <= set(shown)
    assert "malaria_detect_pictures_total 3.0" in shown
    assert "malaria_detect_pictures_total 0.0" in other.exposition().decode().splitlines()
