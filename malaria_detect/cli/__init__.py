"""The command ``malaria-detect``: one module per subcommand, which parses arguments and prints results."""

import argparse
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

from malaria_detect.cli import (
    adapt,
    cells,
    compare,
    evaluate,
    explain,
    field,
    fields,
    labels,
    predict,
    serve,
    train,
)
from malaria_detect.core.errors import MalariaDetectError
from malaria_detect.core.extras import from_extra


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        Exit status: 0 for success; 1 if some images were rejected, or if the reader of the output closed it early, as
        ``head`` does; 2 for wrong usage or an error that the user can fix; 130 after Ctrl-C, 143 after SIGTERM.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What a terminal or pipe cannot show, such as 細胞 in Windows-1252, is written with escapes.
            stream.reconfigure(errors="backslashreplace", newline="")
    options = parser().parse_args(arguments)
    try:
        with _stopped_by_sigterm(), from_extra(options.extra) if options.extra else nullcontext():
            status: int = options.run(options)
        sys.stdout.flush()  # here and not at exit, where an error could no longer be handled
    except MalariaDetectError as error:
        _say(" ".join([str(error), *getattr(error, "__notes__", ())]))
        return 2
    except BrokenPipeError:
        # The reader of the output has closed it, as `head` does. Python must not try to write the rest when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        _say(f"{error}. Choose another file or folder, or make room.")
        return 2
    except KeyboardInterrupt as stopped:
        _say(" ".join(["stopped.", *getattr(stopped, "__notes__", [options.after_interrupt])]).strip())
        return 143 if isinstance(stopped, _Terminated) else 130
    return status


class _Terminated(KeyboardInterrupt):
    """SIGTERM, after which files are left as after Ctrl-C."""


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _Terminated

    # A program that calls main() may have a handler of its own.
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    )
    if ours:
        signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _say(message: str) -> None:
    """Print a message in one line, whatever the names in it contain."""
    line = re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], message)
    print(f"malaria-detect: {line}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """Parser of all subcommands.

    Each sets ``run``, a function of the parsed options that returns the exit status; ``extra``, if it needs an extra of
    the package; and ``after_interrupt``, if there is something to say after Ctrl-C.
    """
    commands_parser = argparse.ArgumentParser(
        prog="malaria-detect",
        description="Find and classify the red cells of malaria thin smears, and estimate the parasitemia. "
        "For Research Use Only. Not for use in diagnostic procedures.",
        epilog="Use `malaria-detect COMMAND --help` for the options of a command.",
    )
    commands_parser.set_defaults(after_interrupt="", extra="")
    commands = commands_parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (predict, field, explain, serve, adapt, train, evaluate, compare, labels, cells, fields):
        module.add_commands(commands)
    return commands_parser
