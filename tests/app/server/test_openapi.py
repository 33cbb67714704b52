import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest

from malaria_detect.app.server.openapi import Interface, document
from malaria_detect.app.server.reception import Limits
from malaria_detect.inference.detector import Detector
from tests.app.server.interface import Running, Worker, serving
from tests.waiting import SECONDS


def held_against(schema: str, described: dict[str, object], content: object) -> None:
    jsonschema_rs.Draft202012Validator(
        {"$ref": f"#/components/schemas/{schema}", "components": described["components"]}
    ).validate(content)


@pytest.fixture(scope="module")
def described(interface: Running) -> dict[str, object]:
    """The interface's own description."""
    content: dict[str, object] = interface.get("api/openapi.json").json()
    return content


@pytest.mark.slow
def test_the_server_does_what_its_description_says(interface: Running, tmp_path: Path) -> None:
    run = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            *("run", f"{interface.address}api/openapi.json", "--checks=all", "--continue-on-failure"),
            *("--max-examples=40", "--generation-deterministic", f"--request-timeout={SECONDS}"),
            *(f"--header={name}: {value}" for name, value in interface.headers.items()),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=4 * SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout


def test_an_answer_is_as_described(
    interface: Running, described: dict[str, object], cell_files: list[bytes]
) -> None:
    content = interface.predict(*cell_files, b"no picture").json()
    held_against("Answer", described, content)
    for name in content["results"][0]:
        results = [{other: value for other, value in content["results"][0].items() if other != name}]
        with pytest.raises(jsonschema_rs.ValidationError):
            held_against("Answer", described, content | {"results": results})


def test_the_metadata_is_as_described(interface: Running, described: dict[str, object]) -> None:
    content = interface.get("api/model").json()
    held_against("ModelMetadata", described, content)
    del content["operating_points"][0]["threshold"]
    with pytest.raises(jsonschema_rs.ValidationError):
        held_against("ModelMetadata", described, content)


def test_describes_the_operating_points_of_the_model_and_the_limits_of_the_server(detector: Detector) -> None:
    limits = Limits(max_pictures=7, max_body_bytes=12_345)
    predict = document(Interface("/", detector.metadata, limits, with_token=False))["paths"]["/api/predict"][
        "post"
    ]
    (parameter,) = predict["parameters"]
    assert parameter["schema"]["enum"] == [point.name for point in detector.metadata.operating_points]
    assert parameter["schema"]["default"] == detector.metadata.default_point
    (form,) = predict["requestBody"]["content"].values()
    assert form["schema"]["properties"]["pictures"]["maxItems"] == 7
    assert "12,345 bytes" in predict["requestBody"]["description"]


def test_describes_a_token_only_where_one_is_asked_for(detector: Detector) -> None:
    for token in (None, "abc"):
        with serving(Worker(detector), token=token) as running:
            described = running.get("api/openapi.json").json()
        for path, (operation,) in ((path, tuple(item.values())) for path, item in described["paths"].items()):
            asked = token is not None and path != "/api/health"
            assert ("401" in operation["responses"]) == asked
            assert ("security" in operation) == asked
        assert ("securitySchemes" in described["components"]) == (token is not None)
