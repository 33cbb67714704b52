"""The family of errors that a user can cause and mend."""


class MalariaDetectError(Exception):
    """A problem that the user can mend, in one sentence for a microscopist.

    The command line prints the sentence and exits with status 2; the page shows it.

    Parameters
    ----------
    message : str
        What is wrong, and what to do.
    reason : str
        A short code for programs and tests, such as ``too_large``; it stays the same if the sentence is reworded.

    Examples
    --------
    >>> error = MalariaDetectError("The folder contains no cells.", reason="no_cells")
    >>> str(error), error.reason
    ('The folder contains no cells.', 'no_cells')
    """

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason
