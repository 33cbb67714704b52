"""Origins: the sites whose pages may use a visitor's session.

Jupyter's own check lets requests without an origin pass, and knows only one further origin.
"""

import ipaddress
import re

from malaria_detect.core.errors import MalariaDetectError

_ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?"
)
_PORTS = {"http": 80, "https": 443}
_LAST_PORT = 65_535


class OriginError(MalariaDetectError):
    """A configured origin is not valid; ``reason`` is ``bad_origin``."""


def normal_origin(text: str) -> str | None:
    """An origin in lower case and with its port, so that equal origins are equal strings; None if it is not one.

    Examples
    --------
    >>> normal_origin("https://Lab/"), normal_origin("http://[0:0::1]:8866")
    ('https://lab:443', 'http://[::1]:8866')
    >>> [normal_origin(text) for text in ("null", "https://lab/malaria", "https://*")]
    [None, None, None]
    """
    found = _ORIGIN.fullmatch(text.lower())
    if found is None:
        return None
    host, port = found["host"], int(found["port"] or _PORTS[found["scheme"]])
    if host.startswith("["):
        try:
            host = f"[{ipaddress.IPv6Address(host[1:-1])}]"
        except ValueError:
            return None
    return f"{found['scheme']}://{host}:{port}" if 0 < port <= _LAST_PORT else None


def read_origins(text: str) -> frozenset[str]:
    """The exact origins in a list with commas, for :func:`is_allowed`; raises OriginError."""
    items = list(filter(None, map(str.strip, text.split(","))))
    for item in items:
        if normal_origin(item) is None:
            raise OriginError(
                f"{item!r} is not an allowed origin. Give scheme, host and, if it is not the usual one, port, such as "
                "https://lab or http://localhost:8080, without a path or *.",
                reason="bad_origin",
            )
    return frozenset(filter(None, map(normal_origin, items)))


def is_allowed(origin: str, host: str, allowed: frozenset[str]) -> bool:
    """Whether a page of this origin may use the server.

    `origin` and `host` are headers of the request. The server's own pages have the same host and port in both; a proxy
    that ends TLS changes only the scheme.

    Examples
    --------
    >>> is_allowed("https://lab", "lab:443", frozenset())
    True
    >>> is_allowed("https://lab", "backend:8866", frozenset())
    False
    >>> is_allowed("https://lab", "backend:8866", read_origins("https://lab"))
    True
    """
    asked = normal_origin(origin)
    if asked is None:
        return False
    return asked in allowed or asked == normal_origin(f"{asked.partition('://')[0]}://{host}")
