"""Container, systemd unit and nginx: what they say about the project is so. Neither of them is started here."""

import fnmatch
import json
import re
import shlex
import tomllib
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import pytest

from malaria_detect.app.server.api import Limits, api_rules
from malaria_detect.app.server.connections import ConnectionLimits
from malaria_detect.app.server.telemetry import Telemetry
from malaria_detect.cli import parser
from malaria_detect.cli.serve import TOKEN_VARIABLE
from malaria_detect.evaluation.cross_validation import EVALUATION
from malaria_detect.evaluation.literature import PUBLISHED
from malaria_detect.inference.model_files import read_metadata

PROJECT = Path(__file__).resolve().parents[2]
DOCS = PROJECT / "docs"
GUIDE = (DOCS / "deployment.md").read_text(encoding="utf-8")
GUIDES_CODE = "\n".join(re.findall(r"```.*?```|`[^`\n]+`", GUIDE, re.DOTALL))
NGINX = (DOCS / "nginx.conf").read_text(encoding="utf-8")
DOCKERFILE = [
    line.split(maxsplit=1)
    for line in re.sub(r"\\\n", " ", (PROJECT / "Dockerfile").read_text(encoding="utf-8")).splitlines()
    if line and not line.startswith("#")
]
PORT = 8866


class NoWorkers:
    waiting, alive, capacity = 0, 1, 1

    async def predict(self, pictures: Any, operating_point: str | None = None) -> list[Any]:
        raise AssertionError("nobody asks")


def instructions(name: str) -> list[str]:
    return [rest for instruction, rest in DOCKERFILE if instruction == name]


def copied() -> list[tuple[list[str], str]]:
    """Sources in the project, and where they go."""
    found = [shlex.split(rest) for rest in instructions("COPY") if not rest.startswith("--from")]
    return [(sources, target) for *sources, target in found]


def interface() -> dict[str, Any]:
    telemetry = Telemetry(queue_length=lambda: 0, workers_alive=lambda: 1)
    metadata = read_metadata(PROJECT / "export.pkl")
    rules = api_rules("/", NoWorkers(), metadata, Limits(), "secret", telemetry)
    return {str(vars(handler)["route"]): handler for _, handler, *_ in rules}


def nginx(directive: str) -> str:
    (value,) = set(re.findall(rf"^ *{directive} (.*);$", NGINX, re.MULTILINE))
    return str(value)


def nginx_block(location: str) -> str:
    found = re.search(rf"location (?:= )?{re.escape(location)} \{{(.*?)\n    \}}", NGINX, re.DOTALL)
    assert found, location
    return found[1]


def seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


@pytest.fixture(scope="module")
def unit() -> RawConfigParser:
    # A key may stand twice only where systemd adds up; none does here, and the parser is strict.
    read = RawConfigParser(comment_prefixes=("#",), inline_comment_prefixes=None, delimiters=("=",))
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read(DOCS / "malaria-detect.service", encoding="utf-8")
    return read


def test_everything_that_the_image_copies_is_there_and_not_ignored() -> None:
    allowed = [
        line[1:]
        for line in (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line[:1] == "!"
    ]
    for sources, _ in copied():
        for source in sources:
            assert list(PROJECT.glob(source)), source
            parents = [source, *map(str, Path(source).parents)]
            assert any(fnmatch.fnmatch(one, pattern) for one in parents for pattern in allowed), source


def test_the_image_holds_what_the_server_reads_and_nothing_else_of_the_project() -> None:
    (*_, last) = (number for number, (instruction, _) in enumerate(DOCKERFILE) if instruction == "FROM")
    final = [rest for name, rest in DOCKERFILE[last:] if name == "COPY" and not rest.startswith("--from")]
    held = {
        Path(path) for rest in final for pattern in shlex.split(rest)[:-1] for path in PROJECT.glob(pattern)
    }
    names = {str(path.relative_to(PROJECT)) for path in held}
    reports = {name for name in names if name.startswith("reports/")}
    assert names - reports == {
        *("dashboard.ipynb", "voila.json", "export.pkl", "export.json", "LICENSE", "malaria_detect")
    }
    assert {f"reports/{EVALUATION}", f"reports/{PUBLISHED}"} <= reports


def test_the_image_has_the_tested_python_and_cpu_wheels() -> None:
    version = (PROJECT / ".python-version").read_text(encoding="utf-8").strip()
    assert {rest.split()[0] for rest in instructions("FROM")} == {f"python:{version}-slim"}
    manifest = json.loads((PROJECT / "app.json").read_text(encoding="utf-8"))
    index = manifest["env"]["PIP_EXTRA_INDEX_URL"]["value"]
    assert any(f"PIP_EXTRA_INDEX_URL={index}" in rest.split() for rest in instructions("ENV"))
    # What hatchling wants for the editable installation that requirements.txt asks for.
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {"pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]}
    built = {source for sources, _ in copied()[:2] for source in sources}
    assert wanted | {project["tool"]["hatch"]["version"]["path"], "requirements.txt"} <= built


def test_the_container_runs_as_a_number_that_is_not_root_and_writes_to_tmp() -> None:
    (user,) = instructions("USER")
    assert min(map(int, user.split(":"))) > 0
    assert any("HOME=/tmp" in rest.split() for rest in instructions("ENV"))


def test_the_container_serves_on_the_port_that_it_exposes_and_checks() -> None:
    (command,), (exposed,), (check,) = (
        instructions("CMD"),
        instructions("EXPOSE"),
        instructions("HEALTHCHECK"),
    )
    program, *arguments = json.loads(command)
    assert program == "malaria-detect"
    options = parser().parse_args(arguments)
    assert (options.host, options.port) == ("0.0.0.0", PORT)
    assert int(exposed) == PORT
    program, flag, code = json.loads(check[check.index("[") :])
    assert (program, flag) == ("python", "-c")
    (address,) = re.findall(r"http://127\.0\.0\.1:(\d+)(/[\w/.]+)", code)
    assert address == (str(PORT), "/api/health")
    compile(code, "check", "exec")


def test_the_health_check_needs_no_token_and_everything_else_does() -> None:
    handlers = interface()
    assert [route for route, handler in handlers.items() if not handler.guarded] == ["/api/health"]
    for route in re.findall(r"`(/(?:api/[\w.]+|metrics))`", GUIDE):
        assert route in handlers


def test_the_unit_starts_the_server_for_this_machine_alone(unit: RawConfigParser) -> None:
    service = unit["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert program == f"{service['WorkingDirectory']}/.venv/bin/malaria-detect"
    options = parser().parse_args(arguments)
    assert (options.host, options.port) == ("127.0.0.1", PORT)
    assert f"server 127.0.0.1:{PORT};" in NGINX
    assert service["WorkingDirectory"] in GUIDE
    assert service["EnvironmentFile"].removeprefix("-") in GUIDE


def test_the_unit_gives_the_server_nothing_but_its_own_tmp(unit: RawConfigParser) -> None:
    service = unit["Service"]
    for switch in ("DynamicUser", "PrivateTmp", "ProtectHome", "NoNewPrivileges", "PrivateDevices"):
        assert service[switch] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert set(service["RestrictAddressFamilies"].split()) == {"AF_UNIX", "AF_INET", "AF_INET6"}
    assert service["Environment"] == "HOME=/tmp"
    assert int(service["LimitNOFILE"]) > ConnectionLimits().connections
    assert "MemoryMax" in service


def test_nginx_takes_what_the_interface_takes() -> None:
    size = nginx("client_max_body_size")
    assert size.endswith("m")
    assert int(size[:-1]) * 2**20 == Limits().max_body_bytes
    assert seconds(nginx("client_body_timeout")) >= Limits().body_seconds
    shortest = min(map(seconds, re.findall(r"proxy_read_timeout (\w+);", NGINX)))
    assert shortest > Limits().answer_seconds


def test_nginx_keeps_a_websocket_for_as_long_as_a_session_may_be_idle() -> None:
    settings = json.loads((PROJECT / "voila.json").read_text(encoding="utf-8"))["MappingKernelManager"]
    block = nginx_block("/api/kernels/")
    for direction in ("read", "send"):
        found = re.search(rf"proxy_{direction}_timeout (\w+);", block)
        assert found
        assert seconds(found[1]) > settings["cull_idle_timeout"] + settings["cull_interval"]
    assert "proxy_set_header Upgrade $http_upgrade;" in NGINX
    assert "proxy_http_version 1.1;" in NGINX


def test_nginx_hands_on_what_the_server_decides_by_and_no_claim_of_the_visitor() -> None:
    headers = dict(re.findall(r"proxy_set_header (\S+) (\S+);", NGINX))
    assert headers["Host"] == "$http_host"
    assert headers["X-Forwarded-For"] == headers["X-Real-IP"] == "$remote_addr"
    assert headers["X-Forwarded-Proto"] == "$scheme"


def test_nginx_writes_no_picture_to_disk_and_hides_the_metrics() -> None:
    assert nginx("proxy_request_buffering") == "off"
    assert nginx("proxy_max_temp_file_size") == "0"
    assert "return 404;" in nginx_block("/metrics")
    # A header that is set in a location would drop those of the server.
    assert NGINX.count("add_header") == 1


def test_commands_files_and_variables_that_the_guide_names_exist() -> None:
    for command in re.findall(r"malaria-detect ([a-z]+)\b", GUIDES_CODE):
        with pytest.raises(SystemExit) as ended:
            parser().parse_args([command, "--help"])
        assert ended.value.code == 0
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake (\.?[a-z][\w./-]*)(?= |$)", GUIDES_CODE, re.MULTILINE):
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target
    for link in re.findall(r"\]\(([^)]+)\)", GUIDE):
        assert (DOCS / link).is_file(), link
    code = "\n".join(path.read_text(encoding="utf-8") for path in (PROJECT / "malaria_detect").rglob("*.py"))
    variables = set(re.findall(r"MALARIA_DETECT_[A-Z0-9_]+", GUIDE))
    assert TOKEN_VARIABLE in variables
    assert {name for name in variables if f'"{name}"' not in code} == set()


def test_flags_of_the_server_that_the_guide_names_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["serve", "--help"])
    known = capsys.readouterr().out
    for flag in ("--max-visitors", "--workers", "--api-token"):
        assert f"`{flag}`" in GUIDE
        assert flag in known
