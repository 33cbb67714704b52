"""A visitor's kernel: ``python -m malaria_detect.app.server.kernel``, an ordinary ipykernel without a debugger."""

import logging
import sys

# Options of a kernel; the server gives it an empty IPYTHONDIR, so that neither settings nor start-up files are read.
OPTIONS = (
    # The history would be a database on disk with all that visitors do.
    "--HistoryManager.enabled=False",
    # Nothing is imported from the folder of the notebook; so does -P in the command.
    "--IPKernelApp.ignore_cwd=True",
    # What a library prints goes to the server's log, not to the visitor.
    "--IPKernelApp.capture_fd_output=False",
)


def main() -> None:
    """Run a kernel until it is shut down, or until the process that started it ends."""
    # The debugger, an optional part of ipykernel, would listen on a port and take half as much memory as the page.
    sys.modules["debugpy"] = None  # type: ignore[assignment]
    from ipykernel.kernelapp import IPKernelApp

    # Errors in a session, too, are for the log: sys.stderr will lead to the visitor's browser.
    logging.basicConfig(stream=sys.__stderr__)
    IPKernelApp.launch_instance()


if __name__ == "__main__":
    main()
