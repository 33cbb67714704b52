"""The command ``malaria-detect``: one module per subcommand, which parses arguments and prints results."""

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
        Exit status: 0 for success; 1 if some images were rejected, or if the reader of the output closed it early, as
        ``head`` does; 2 for wrong usage or an error that the user can fix; 130 after Ctrl-C.
    """
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()  # here and not at exit, where an error could no longer be handled
    except MalariaDetectError as error:
        print(f"malaria-detect: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of the output has closed it, as `head` does. Python must not try to write the rest when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(f"malaria-detect: stopped.{options.after_interrupt}", file=sys.stderr)
        return 130
    return status


def parser() -> argparse.ArgumentParser:
    """Parser of all subcommands; each sets ``run``, a function of the parsed options that returns the exit status."""
    commands_parser = argparse.ArgumentParser(
        prog="malaria-detect",
        description="Classify images of single stained red blood cells as parasitized or uninfected. "
        "For Research Use Only. Not for use in diagnostic procedures.",
        epilog="Use `malaria-detect COMMAND --help` for the options of a command.",
    )
    commands_parser.set_defaults(after_interrupt="")
    commands = commands_parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (predict, explain, serve, train, compare, labels, cells):
        module.add_commands(commands)
    return commands_parser
