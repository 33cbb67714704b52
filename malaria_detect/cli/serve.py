"""``malaria-detect serve``."""

import argparse
import os
from pathlib import Path

from malaria_detect.core.errors import MalariaDetectError

TOKEN_VARIABLE = "MALARIA_DETECT_API_TOKEN"
NOTEBOOK, SETTINGS = "dashboard.ipynb", "voila.json"


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    serve = commands.add_parser(
        "serve",
        help="serve the page and the HTTP interface",
        description=f"Serve {NOTEBOOK} of this folder as a page, and predictions over HTTP beside it, until Ctrl-C. "
        "Further settings stand in voila.json.",
    )
    serve.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s); 0.0.0.0 for all"
    )
    serve.add_argument("--port", type=_positive, default=8866, help="port (default: %(default)s)")
    serve.add_argument(
        "--api-token",
        metavar="TOKEN",
        default=os.environ.get(TOKEN_VARIABLE),
        help=f"demand this bearer token for the HTTP interface; better set in {TOKEN_VARIABLE}, as others on this "
        "machine see command lines",
    )
    serve.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help="processes that predict (default: one, or two from four processors on)",
    )
    serve.add_argument(
        "--pool", type=_whole, metavar="N", help="sessions that are ready before a visitor comes"
    )
    serve.add_argument(
        "--max-visitors",
        type=_positive,
        metavar="N",
        help="sessions at once; further visitors are told to come later",
    )
    serve.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    for needed in (NOTEBOOK, SETTINGS):
        if not Path(needed).is_file():
            raise MalariaDetectError(
                f"There is no {needed} in this folder: start `malaria-detect serve` where it and export.pkl are."
            )
    # Kernels and workers, which inherit the environment, have no need of it.
    os.environ.pop(TOKEN_VARIABLE, None)
    # Voila and Jupyter's server take a second to import: only when they are needed.
    from malaria_detect.app.server.app import serve

    serve(
        NOTEBOOK,
        host=options.host,
        port=options.port,
        api_token=options.api_token,
        workers=options.workers,
        pool=options.pool,
        max_visitors=options.max_visitors,
    )
    return 0


def _whole(text: str, least: int = 0, most: int = 65_535) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
    return number


def _positive(text: str) -> int:
    return _whole(text, least=1)
