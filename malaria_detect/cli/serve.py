"""``malaria-detect serve``."""

import argparse
import os

from malaria_detect.cli.training_options import add_model
from malaria_detect.core.shipped import MODEL, NOTEBOOK, SETTINGS

TOKEN_VARIABLE = "MALARIA_DETECT_API_TOKEN"
ORIGIN_VARIABLE = "MALARIA_DETECT_ALLOW_ORIGIN"


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    serve = commands.add_parser(
        "serve",
        help="serve the page and the HTTP API",
        description="Serve the page and the HTTP API until Ctrl-C. Files in the current folder take precedence over "
        f"those of the package: {MODEL} with its metadata, the page {NOTEBOOK}, and further settings in {SETTINGS}.",
    )
    serve.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s); 0.0.0.0 for all addresses",
    )
    serve.add_argument("--port", type=_positive, default=8866, help="port (default: %(default)s)")
    serve.add_argument(
        "--api-token",
        metavar="TOKEN",
        default=os.environ.get(TOKEN_VARIABLE),
        help=f"bearer token that the HTTP API requires; safer in {TOKEN_VARIABLE}, because other users of this machine "
        "can see command lines",
    )
    serve.add_argument(
        "--allow-origin",
        action="append",
        metavar="ORIGIN",
        help="address at which browsers see the page, such as https://lab.example, if a proxy changes the header Host; "
        f"may be repeated (default: {ORIGIN_VARIABLE}, with commas between several)",
    )
    serve.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help="number of prediction processes (default: 1, or 2 with four or more processors)",
    )
    # Without these two, voila.json or the server decides.
    serve.add_argument(
        "--pool",
        type=_whole,
        metavar="N",
        help="sessions kept ready for the next visitors (default: default_pool_size of voila.json)",
    )
    serve.add_argument(
        "--max-visitors",
        type=_positive,
        metavar="N",
        help="visitors at the same time; further visitors get an error page (default: 30, or as in voila.json)",
    )
    add_model(serve)
    serve.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    # Kernels and workers inherit the environment, but must not know the token.
    os.environ.pop(TOKEN_VARIABLE, None)
    # Imported here, because Voila and the Jupyter server take a second to import.
    from malaria_detect.app.server.start import ServeOptions, serve

    chosen = ServeOptions(
        host=options.host,
        port=options.port,
        api_token=options.api_token,
        allow_origin=",".join(options.allow_origin)
        if options.allow_origin
        else os.environ.get(ORIGIN_VARIABLE),
        workers=options.workers,
        pool=options.pool,
        max_visitors=options.max_visitors,
        model=options.model,
    )
    serve(chosen)
    return 0


def _whole(text: str, least: int = 0, most: int = 65_535) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
    return number


def _positive(text: str) -> int:
    return _whole(text, least=1)
