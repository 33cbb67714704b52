"""Which origins are equal, and which may be allowed."""

import pytest

from malaria_detect.app.server.origins import OriginError, is_allowed, normal_origin, read_origins
from tests.refused import refused


@pytest.mark.parametrize(
    "same",
    [
        (
            "https://lab.example",
            "HTTPS://Lab.Example/",
            "https://lab.example:443",
            "https://lab.example:0443",
        ),
        ("http://lab.example", "http://lab.example:80/"),
        ("http://[::1]:8866", "http://[0:0:0:0:0:0:0:1]:8866", "http://[::0001]:8866"),
        ("http://localhost:8866", "http://LOCALHOST:8866"),
        ("https://xn--80ab.example",),
    ],
)
def test_an_origin_has_one_form(same: tuple[str, ...]) -> None:
    assert len({normal_origin(text) for text in same} - {None}) == 1


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "null",
        "none",
        "lab.example",
        "//lab.example",
        "ws://lab.example",
        "wss://lab.example",
        "ftp://lab.example",
        "file:///",
        "https://",
        "https:///x",
        "https://*.example",
        "https://*:8443",
        "https://lab.*",
        "https://lab.example/malaria",
        "https://lab.example//",
        "https://lab.example?x",
        "https://lab.example#x",
        "https://me@lab.example",
        "https://me:pw@lab.example",
        "https://lab.example:",
        "https://lab.example:0",
        "https://lab.example:65536",
        "https://lab.example:999999",
        "https://lab.example:x",
        "https://lab..example",
        "https://[::1",
        "https://[::1]]:80",
        "https://[1]",
        "https://[fe80::1%25eth0]",
        "https://::1",
        "https://lаb.example",
        "https://lab.example:٤٤٣",
        "https://lab.example\\evil",
        ".example",
        "https://.example",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    assert not is_allowed(text, text.partition("//")[2], read_origins("https://lab.example"))
    with refused(OriginError, "bad_origin", naming=repr(text)):
        read_origins(f"https://lab.example, {text}")


@pytest.mark.parametrize("inside", [" ", "\n", "\t", "\r\n", "\0", "\x1b[0m"])
def test_white_space_and_control_characters_are_not_removed_from_an_origin(inside: str) -> None:
    with refused(OriginError, "bad_origin"):
        read_origins(f"https://lab{inside}.example")
    assert normal_origin(f"https://lab.example{inside}") is None


@pytest.mark.parametrize("text", ["", " ", ",", " , ,"])
def test_no_origin_is_allowed_by_an_empty_list(text: str) -> None:
    assert read_origins(text) == frozenset()
