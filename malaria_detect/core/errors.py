"""Errors that a user can correct: their base class, and the one for arguments."""


class MalariaDetectError(Exception):
    """A problem that the user can correct, with a message for a microscopist.

    The command line prints the message and exits with status 2; the page shows it.

    Parameters
    ----------
    message : str
        What is wrong and what to do, in one or two short sentences.
    reason : str
        A short code for programs and tests, such as ``too_large``; it stays the same if the message is reworded.

    Examples
    --------
    >>> error = MalariaDetectError("The folder contains no cells.", reason="no_cells")
    >>> str(error), error.reason
    ('The folder contains no cells.', 'no_cells')
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ArgumentError(MalariaDetectError, TypeError, ValueError):
    """An argument of the wrong type, or out of range; ``reason`` is the name of the argument."""
