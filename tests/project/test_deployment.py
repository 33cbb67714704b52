"""The container: what can be tried without building it."""

import json
import re
import shlex
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from malaria_detect.inference.detector import Detector
from tests.app.server.interface import Worker, serving
from tests.waiting import SECONDS

PROJECT = Path(__file__).resolve().parents[2]
DOCKERFILE = [
    line.split(maxsplit=1)
    for line in re.sub(r"\\\n", " ", (PROJECT / "Dockerfile").read_text(encoding="utf-8")).splitlines()
    if line and not line.startswith("#")
]


def instructions(name: str) -> list[str]:
    return [rest for instruction, rest in DOCKERFILE if instruction == name]


def test_everything_that_the_image_copies_exists_and_is_not_ignored() -> None:
    ignore = (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = [line[1:] for line in ignore if line.startswith("!")]
    copied = [shlex.split(rest)[:-1] for rest in instructions("COPY") if not rest.startswith("--from")]
    for source in [source for sources in copied for source in sources]:
        assert list(PROJECT.glob(source)), source
        parents = [source, *map(str, Path(source).parents)]
        assert any(fnmatch(one, pattern) for one in parents for pattern in allowed), source


@pytest.mark.parametrize("workers", [1, 0])
def test_the_health_check_of_the_image_succeeds_while_a_worker_runs(detector: Detector, workers: int) -> None:
    (check,) = instructions("HEALTHCHECK")
    _python, flag, code = json.loads(check[check.index("[") :])
    (port,) = instructions("EXPOSE")
    assert f":{port}/" in code
    with serving(Worker(detector, alive=workers)) as running:
        code = code.replace(f":{port}/", f":{running.port}/").replace("timeout=4", f"timeout={SECONDS}")
        done = subprocess.run([sys.executable, flag, code], capture_output=True, timeout=SECONDS, check=False)
    assert (done.returncode == 0) == bool(workers)
