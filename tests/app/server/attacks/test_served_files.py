"""Attacks on the machine's files and on the rest of Jupyter, and what the page tells about the machine."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.app.server.attacker import NO_KERNEL, Visitor, ask, send_raw, statuses
from tests.browser.served import PROJECT

JUPYTER = f"""
/api /api/kernels /api/kernels/ /api/kernelspecs /api/sessions /api/contents /api/contents/export.pkl
/api/terminals /api/status /api/me /api/config/x /api/nbconvert /api/security/csp-report /api/spec.yaml
/api/shutdown /voila/tree /voila/render/dashboard.ipynb /voila/api/contents /voila/api/contents/ /voila/files/
/voila/api/shutdown /voila/api/shutdown/ /voila/api/themes/x /voila/templates/lab/static/voila.js
/voila/query/{NO_KERNEL} /voila/execution/{NO_KERNEL} /lab /tree /nbconvert /login /logout /terminals/1
/metrics/../api/kernels /proxy/80/ /.git/config
"""
PLACES = (
    "/",
    "/voila/static/",
    "/voila/labextensions/",
    "/api/",
    "/voila/files/",
    "/voila/templates/lab/static/",
)
WAYS_UP = r"../ ..%2f %2e%2e/ %2e%2e%2f %252e%252e%252f ..%5c ..\ ..%c0%af ..;/ ./.././ ....// ..%00/"
OTHER_PATHS = """
//etc/passwd /etc/passwd %2fetc%2fpasswd %2f%2fetc/passwd file:///etc/passwd ~root/.bashrc etc/passwd%00.png %00
%00/../ %ff%fe % %zz con . .. ../ %2e%2e http://127.0.0.1/etc/passwd ?../../etc/passwd #/etc/passwd
"""
FILES = """
dashboard.ipynb dashboard.ipynb/ export.pkl export.pkl?raw=1 export.json voila.json secret.txt README.md
requirements.txt .gitignore docs/page.png reports/evaluation.json index.html.j2 page.css loading.html
malaria_detect/app/server/templates/index.html.j2 malaria_detect/inference/metadata.py temporary/log.txt
"""


@pytest.mark.parametrize("path", JUPYTER.split())
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_else_of_jupyter_is_served(port: int, method: str, path: str) -> None:
    answer = ask(port, method, path, headers={"X-XSRFToken": "0" * 32, "Cookie": f"_xsrf={'0' * 32}"})
    assert answer.status in (404, 405), answer


def refused(port: int, path: str) -> bytes:
    answer = send_raw(port, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1"))
    assert statuses(answer) in ([400], [403], [404]), path
    return answer


@pytest.mark.parametrize("place", PLACES)
def test_no_path_leads_out_of_what_is_served(port: int, place: str) -> None:
    for way in WAYS_UP.split():
        for target in ("etc/passwd", "secret.txt", str(PROJECT / "export.json").lstrip("/")):
            answer = refused(port, f"{place}{way * 12}{target}")
            assert not any(secret in answer for secret in (b"root:", b"the secret", b"temperature"))


@pytest.mark.parametrize(
    "path", [*FILES.split(), *OTHER_PATHS.split(), "a" * 5000], ids=lambda path: path[:50]
)
def test_no_file_is_served(port: int, path: str) -> None:
    for place in PLACES:
        if (place, path[:1]) not in (("/", "?"), ("/", "#")):  # which is the page itself
            assert b"root:" not in refused(port, place + path)


def test_the_page_shows_no_source_and_no_place_on_the_machine(visitor: Visitor) -> None:
    notebook = json.loads((PROJECT / "dashboard.ipynb").read_text(encoding="utf-8"))
    lines = [line.strip() for cell in notebook["cells"] for line in "".join(cell["source"]).splitlines()]
    for line in [line for line in lines if len(line) > 12]:
        assert line not in visitor.page
    for place in (str(PROJECT), str(Path.home()), "site-packages"):
        assert place not in visitor.page


def test_the_page_and_what_it_loads_name_no_other_host(visitor: Visitor) -> None:
    loaded = re.findall(r"""(?:src|href|action|poster|data)\s*=\s*["']([^"']+)["']""", visitor.page)
    loaded += re.findall(r"""(?:url\(|@import)\s*["']?([^"')]+)""", visitor.page)
    assert any(address.endswith("voila.js") for address in loaded)
    for address in loaded:
        assert urlsplit(address).netloc == "" or urlsplit(address).scheme == "data", address
    for name in ("page.css", "served.css", "loading.html", "page.html"):
        (file,) = (PROJECT / "malaria_detect" / "app").rglob(name)
        assert not re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", file.read_text(encoding="utf-8"))
