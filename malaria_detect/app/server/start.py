"""Start the server with the options of ``malaria-detect serve``."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.shipped import MODEL_VARIABLE, NOTEBOOK, shipped_folder


@dataclass(frozen=True)
class ServeOptions:
    """Options of :func:`serve`; None stands for the setting in voila.json.

    They are numbers of prediction processes, of sessions kept ready for the next visitor, and of simultaneous visitors;
    programs must send the bearer token; pages of further origins, with commas in between, may use the server.
    """

    host: str
    port: int
    api_token: str | None = None
    allow_origin: str | None = None
    workers: int | None = None
    pool: int | None = None
    max_visitors: int | None = None
    model: str | os.PathLike[str] | None = None


def serve(options: ServeOptions) -> None:
    """Serve the page and the HTTP API until stopped.

    The page is dashboard.ipynb in the current folder, or that of the package. Settings are read from voila.json in the
    current folder, then from that of the package. Raises MalariaDetectError if the port is in use, the token or an
    origin is not valid, or voila.json cannot be read.
    """
    # jsonschema, which jupyter_events imports, would compile a grammar of addresses: one second and 17 MB for nothing.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    from malaria_detect.app.server.app import Server

    allow_open_files()
    settings = {
        "Voila.ip": options.host,
        "Voila.port": options.port,
        "Voila.open_browser": False,
        "Server.api_token": options.api_token,
        "Server.allow_origin": options.allow_origin,
        "Server.worker_count": options.workers,
        "Server.max_visitors": options.max_visitors,
        "VoilaConfiguration.preheat_kernel": None if options.pool is None else options.pool > 0,
        "VoilaConfiguration.default_pool_size": options.pool,
    }
    # As a command line, which takes precedence over voila.json.
    flags = [f"--{name}={value}" for name, value in settings.items() if value is not None]
    if options.model is not None:
        os.environ[MODEL_VARIABLE] = str(options.model)
    notebook = NOTEBOOK if Path(NOTEBOOK).is_file() else str(shipped_folder() / NOTEBOOK)
    server = Server.instance()
    try:
        server.initialize([notebook, *flags])
    except ValueError as error:
        raise MalariaDetectError(f"voila.json is not valid: {error}", reason="bad_settings") from error
    server.start()


def allow_open_files(number: int = 8192) -> None:
    """Raise this process's limit on open files, of which each connection and each session needs some.

    The usual one is 1,024, on macOS 256. Nothing is done on systems without such limits.
    """
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
