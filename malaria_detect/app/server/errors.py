"""What can go wrong between a request and the prediction workers."""

from malaria_detect.core.errors import MalariaDetectError


class Overloaded(MalariaDetectError):  # noqa: N818 - says what the server is
    """The queue of the prediction workers is full.

    Attributes
    ----------
    retry_after : int
        Seconds after which there may be room.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class WorkerLost(MalariaDetectError):  # noqa: N818 - says what happened
    """The worker died or hung over this job; it is replaced."""
