"""What the page's script asks for: the websocket of its kernel, the kernel's state, and its end.

Only the visitor who was given a page can use that page's kernel; see :mod:`malaria_detect.app.server.page`.
"""

from datetime import UTC, datetime
from typing import Any

from jupyter_server.base.handlers import APIHandler, JupyterHandler
from tornado.web import HTTPError, authenticated
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from malaria_detect.app.server.kernel_frames import PROTOCOL, PageConnection
from malaria_detect.app.server.origins import is_allowed
from malaria_detect.app.server.page import END_COOKIE, TALK_COOKIE
from malaria_detect.app.server.telemetry import OneLineErrors
from malaria_detect.app.server.visits import Visits

# For the rules of an application.
KERNEL_ID = r"(?P<kernel_id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
# A browser needs one websocket; it may open another one before the server notices that the first is closed.
_MOST_SOCKETS = 4
# Data in the server's memory for a page that does not read it.
_MOST_UNSENT_BYTES = 2 * 110_000_000


class _OfThePage(OneLineErrors, JupyterHandler):
    """A handler that only the server's own pages may use."""

    # Browsers send no origin with GET requests of the page itself.
    needs_origin = True

    def check_origin(self, origin_to_satisfy_tornado: str = "") -> bool:
        """Whether the request comes from a page of this server, or of an allowed origin."""
        origin = self.request.headers.get("Origin")
        if origin is None and not self.needs_origin:
            return True
        host = self.request.headers.get("Host", "")
        allowed = is_allowed(origin or "", host, self.settings["allowed_origins"])
        if not allowed:
            self.settings["telemetry"].log_refused_origin(self)
        return allowed

    def check_xsrf_cookie(self) -> None:
        """Do nothing: the origin is checked instead, and browsers send the kernel's cookies to no other site."""


class KernelSocket(_OfThePage, VoilaKernelWebsocketHandler):
    """The websocket between a page and its kernel."""

    route = "/api/kernels/channels"

    kernel_websocket_connection_class = PageConnection

    def initialize(self, visits: Visits) -> None:
        """Keep the arguments of the application's rule."""
        self._visits = visits
        self._unsent = 0

    async def get(self, kernel_id: str) -> None:
        """Open the websocket."""
        if not self.check_origin():
            raise HTTPError(403)
        visit = self._visits.admit(kernel_id, self.get_cookie(TALK_COOKIE))
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "")
        if PROTOCOL not in [name.strip() for name in offered.split(",")]:
            # In the older protocol, the message itself decides how it is read.
            raise HTTPError(400)
        if visit.sockets >= _MOST_SOCKETS:
            raise HTTPError(429)
        if kernel_id not in self.kernel_manager:
            raise HTTPError(404)
        # It may have waited for long until its page was loaded.
        kernel: Any = self.kernel_manager.get_kernel(kernel_id)
        kernel.last_activity = datetime.now(UTC)
        visit.claimed = True
        visit.sockets += 1
        try:
            # Returns when the websocket is closed.
            await VoilaKernelWebsocketHandler.get(self, kernel_id=kernel_id)
        finally:
            visit.sockets -= 1

    async def open(self, kernel_id: str) -> None:
        """Connect the page with its kernel."""
        # Small messages would otherwise wait until the browser has acknowledged the ones before.
        self.set_nodelay(True)
        await super().open(kernel_id)

    def write_message(self, message: Any, binary: bool = False) -> Any:
        """Send a message to the page; close the websocket if too many earlier messages are unread."""
        size = len(message) if isinstance(message, bytes | str) else 0
        if self._unsent + size > _MOST_UNSENT_BYTES:
            self.close(1013, "too slow")
            return None
        sent = super().write_message(message, binary)
        if sent is not None:
            self._unsent += size
            sent.add_done_callback(lambda _: self._note_sent(size))
        return sent

    def _note_sent(self, size: int) -> None:
        self._unsent -= size


class KernelStatus(_OfThePage, APIHandler):
    """Reports whether a page's kernel runs."""

    route = "/api/kernels"
    needs_origin = False

    def initialize(self, visits: Visits) -> None:
        """Keep the arguments of the application's rule."""
        self._visits = visits

    @authenticated
    async def get(self, kernel_id: str) -> None:
        """Answer with the kernel's id, name and state."""
        self._visits.admit(kernel_id, self.get_cookie(TALK_COOKIE))
        kernels = self.kernel_manager
        if kernel_id not in kernels:
            raise HTTPError(404)
        model = kernels.kernel_model(kernel_id)
        self.finish({name: model[name] for name in ("id", "name", "execution_state")})

    head = get


class KernelEnd(_OfThePage, VoilaShutdownKernelHandler):
    """Ends a kernel when its visitor leaves the page."""

    route = "/voila/api/shutdown"

    def initialize(self, visits: Visits) -> None:
        """Keep the arguments of the application's rule."""
        self._visits = visits

    @authenticated
    async def post(self, kernel_id: str) -> None:
        """End the kernel."""
        self._visits.admit(kernel_id, self.get_cookie(END_COOKIE))
        self._visits.forget(kernel_id)
        if kernel_id in self.kernel_manager:
            await VoilaShutdownKernelHandler.post(self, kernel_id)
