"""How much the HTTP interface takes in at once: bodies on their way, and the memory that bodies take."""

from dataclasses import dataclass

from malaria_detect.app.server.problems import Problem
from malaria_detect.data.images import MAX_BYTES

RETRY_SECONDS = 2


@dataclass(frozen=True)
class Limits:
    """What one request, and all requests together, may ask of the HTTP interface.

    Attributes
    ----------
    max_pictures : int
        In a request.
    max_body_bytes : int
        In a request: room for few large pictures, or for many single cells, which take 10 to 20 kB each.
    max_held_bytes : int
        Of all bodies together that lie in memory, from a body's first byte to its answer. The parser needs up to three
        times as much for the one body that it works on.
    body_seconds : float
        That a body may take to arrive.
    answer_seconds : float
        That a request may wait for its answer once its body is there.
    uploads : int
        Bodies that arrive at the same time.
    """

    max_pictures: int = 20
    max_body_bytes: int = 4 * MAX_BYTES
    max_held_bytes: int = 12 * MAX_BYTES
    body_seconds: float = 30
    answer_seconds: float = 30
    uploads: int = 8


class Reception:
    """The bodies that a server takes in, within its limits."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.uploads = 0
        self.held_bytes = 0


class Upload:
    """One body on its way in, and in memory until it is answered.

    Parameters
    ----------
    reception : Reception
    declared : int
        Its length as the client told it, 0 where it did not.

    Raises
    ------
    Problem
        413 where it is too large, 503 where there is no room for it now.
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
        """Take in what has arrived; errors are those of the class."""
        self._hold(len(self.body) + len(chunk))
        self.body += chunk

    def arrived(self) -> None:
        """Make room for the next body to arrive; this one stays in memory."""
        if self._arriving:
            self._reception.uploads -= 1
            self._arriving = False

    def let_go(self) -> None:
        """Forget the body; may be said twice."""
        self.arrived()
        self._reception.held_bytes -= self._held
        self._held = 0
        self.body = bytearray()

    def _hold(self, length: int) -> None:
        if length > self._limits.max_body_bytes:
            raise Problem(
                413,
                f"The body is larger than {self._limits.max_body_bytes:,} bytes: send fewer pictures at a time, "
                "each of a single cell.",
            )
        more = max(0, length - self._held)
        if self._reception.held_bytes + more > self._limits.max_held_bytes:
            raise _no_room()
        self._reception.held_bytes += more
        self._held += more


def _no_room() -> Problem:
    return Problem(
        503,
        f"The server takes in as much as it can: try again in {RETRY_SECONDS} s.",
        retry_after=str(RETRY_SECONDS),
    )
