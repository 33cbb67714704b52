"""Limits of the HTTP API on uploads: how many arrive at once, and how much memory they take."""

from dataclasses import dataclass, replace

from malaria_detect.app.server.problems import Problem
from malaria_detect.app.workers.pool import RETRY_SECONDS
from malaria_detect.data.image_checks import FIELD, MAX_BYTES

# Photographs of one slide.
MAX_FIELDS = 40


@dataclass(frozen=True)
class Limits:
    """Limits on one request, and on all requests together."""

    # Images in one request.
    max_pictures: int = 20
    # Of one request's body: a few large images, or many single cells of 10 to 20 kB each.
    max_body_bytes: int = 4 * MAX_BYTES
    # Of all bodies in memory, each counted from its first byte to its answer. The parser needs up to three times as
    # much for the one body that it processes.
    max_held_bytes: int = 12 * MAX_BYTES
    # Time for a body to arrive, and then for the prediction.
    body_seconds: float = 30
    answer_seconds: float = 30
    # Bodies that may arrive at the same time.
    uploads: int = 8

    @property
    def for_fields(self) -> "Limits":
        """Limits on photographs of whole fields, which are larger and take longer."""
        return replace(
            self,
            max_pictures=MAX_FIELDS,
            max_body_bytes=2 * FIELD.max_bytes,
            max_held_bytes=4 * FIELD.max_bytes,
            body_seconds=4 * self.body_seconds,
            answer_seconds=10 * self.answer_seconds,
            uploads=2,
        )


class Reception:
    """Count of the bodies that a server is receiving and holding."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.uploads = 0
        self.held_bytes = 0


class Upload:
    """One request body, from its first byte until the request is answered.

    Its `declared` length is that according to the client, or 0. Raises a Problem: 413 if the body is too large, 503 if
    the server has no room for it now.
    """

    def __init__(self, reception: Reception, declared: int) -> None:
        self._reception = reception
        self._limits = reception.limits
        self._held = 0
        self._arriving = False
        self.body = bytearray()
        if reception.uploads >= self._limits.uploads:
            raise _no_room()
        self._hold(declared)
        self._arriving = True
        reception.uploads += 1

    def add(self, chunk: bytes) -> None:
        """Append data that has arrived; raises the same errors as the class."""
        self._hold(len(self.body) + len(chunk))
        self.body += chunk

    def arrived(self) -> None:
        """Let another body arrive; this one stays in memory."""
        self._reception.uploads -= self._arriving
        self._arriving = False

    def let_go(self) -> None:
        """Release the body's memory; a second call has no effect."""
        self.arrived()
        self._reception.held_bytes -= self._held
        self._held = 0
        self.body = bytearray()

    def _hold(self, length: int) -> None:
        most = self._limits.max_body_bytes
        if length > most:
            raise Problem(
                413, f"The body is larger than {most:,} bytes. Send fewer or smaller images per request."
            )
        more = max(0, length - self._held)
        if self._reception.held_bytes + more > self._limits.max_held_bytes:
            raise _no_room()
        self._reception.held_bytes += more
        self._held += more


def _no_room() -> Problem:
    retry_after = str(RETRY_SECONDS)
    return Problem(503, f"The server is overloaded. Try again in {retry_after} s.", retry_after=retry_after)
