"""The one family of errors that a user can cause."""


class MalariaDetectError(Exception):
    """A problem that the user can mend; its message is one sentence for a microscopist.

    The command line prints the message in one line and exits with status 2; the page shows it.

    Examples
    --------
    >>> raise MalariaDetectError("The folder holds no cells.")
    Traceback (most recent call last):
    malaria_detect.errors.MalariaDetectError: The folder holds no cells.
    """
