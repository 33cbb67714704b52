"""Errors between a request and the prediction workers."""

from malaria_detect.core.errors import MalariaDetectError


class Overloaded(MalariaDetectError):  # noqa: N818 - names the server's state
    """The queue of the prediction workers is full.

    Attributes
    ----------
    retry_after : int
        Seconds after which the client may try again.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message, reason="overloaded")
        self.retry_after = retry_after


class WorkerLost(MalariaDetectError):  # noqa: N818 - names what happened
    """A worker died or hung while it processed this job; the server replaces the worker (``worker_lost``)."""
