"""The command ``malaria-detect``: arguments in, sentences out."""

import argparse
import os
import sys
from collections.abc import Sequence

from malaria_detect.cli import cells, compare, explain, labels, predict, serve, train
from malaria_detect.core.errors import MalariaDetectError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        Exit status: 0; 1 where some pictures were refused; 2 for wrong usage or an error that the user can mend;
        130 after Ctrl-C.
    """
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except MalariaDetectError as error:
        print(f"malaria-detect: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Who read the output has gone, as head does; Python must not try to write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(f"malaria-detect: stopped.{options.after_interrupt}", file=sys.stderr)
        return 130
    return status


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    commands_parser = argparse.ArgumentParser(
        prog="malaria-detect",
        description="Tell parasitized from uninfected red blood cells. "
        "For Research Use Only. Not for use in diagnostic procedures.",
    )
    commands_parser.set_defaults(after_interrupt="")
    commands = commands_parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (predict, explain, serve, train, compare, labels, cells):
        module.add_commands(commands)
    return commands_parser
