"""Visitors and their kernels: whoever was given a page may talk to that page's kernel, and nobody else may.

Each page comes with two cookies that hold its kernel's secret. A browser sends them back only where they are needed, as
their paths are those of that kernel's addresses: so tabs do not disturb one another, and a visitor who comes again is
not recognised.
"""

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.utils import url_path_join
from tornado.ioloop import IOLoop
from tornado.web import HTTPError, authenticated
from voila.request_info_handler import RequestInfoSocketHandler
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from voila.tornado.handler import TornadoVoilaHandler
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from malaria_detect.app.server.kernel_frames import PROTOCOL, PageConnection
from malaria_detect.app.server.telemetry import LogsFailures

# For the rules of an application.
KERNEL_ID = r"(?P<kernel_id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
TALK_COOKIE = "malaria-detect-kernel"
END_COOKIE = "malaria-detect-end"
_RETRY_SECONDS = 30
# A browser needs one; a second one may come before the server has noticed that the first is gone.
_MOST_SOCKETS = 4
# What a page that does not read may leave in the server's memory.
_MOST_UNSENT_BYTES = 2 * 110_000_000


@dataclass
class _Visit:
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    sockets: int = 0
    claimed: bool = False


@dataclass
class Visits:
    """All visits of a server.

    Attributes
    ----------
    most : int
        At once: further visitors are asked to come again.
    unclaimed_seconds : float
        A kernel whose page has not called by then is ended.
    """

    most: int = 30
    unclaimed_seconds: float = 120
    _of_kernel: dict[str, _Visit] = field(default_factory=dict, repr=False)
    _opening: int = 0

    def __len__(self) -> int:
        """Visits now; those whose kernels have ended count until the next one begins."""
        return len(self._of_kernel) + self._opening

    def begin(self, kernels: Any) -> bool:
        """Note that a page is asked for; False where there is no room. Each True needs an :meth:`opened`.

        Parameters
        ----------
        kernels : MultiKernelManager
            Kernels that run.
        """
        for ended in [kernel_id for kernel_id in self._of_kernel if kernel_id not in kernels]:
            del self._of_kernel[ended]
        if len(self) >= self.most:
            return False
        self._opening += 1
        return True

    def opened(self) -> None:
        """Note that a page is delivered, or failed."""
        self._opening -= 1

    def hand_out(self, kernel_id: str) -> str:
        """Return the secret of a kernel that a visitor gets."""
        return self._of_kernel.setdefault(kernel_id, _Visit()).secret

    def forget(self, kernel_id: str) -> None:
        """Note that a kernel has been ended."""
        self._of_kernel.pop(kernel_id, None)

    def claimed(self, kernel_id: str) -> bool:
        """Whether a kernel's page has called."""
        visit = self._of_kernel.get(kernel_id)
        return visit is not None and visit.claimed

    def admit(self, kernel_id: str, secret: str | None) -> _Visit:
        """Let in who knows a kernel's secret.

        Raises
        ------
        HTTPError
            404, which also is what they hear who ask for no kernel at all.
        """
        visit = self._of_kernel.get(kernel_id)
        expected = visit.secret if visit else ""
        if not hmac.compare_digest(expected.encode(), (secret or "").encode()) or visit is None:
            raise HTTPError(404)
        return visit


class Anybody(IdentityProvider):
    """Everybody may see the page, nobody logs in, and no cookie is needed for that."""

    @property
    def auth_enabled(self) -> bool:
        """Nobody is asked who they are."""
        return False

    @property
    def login_available(self) -> bool:
        """There is nothing to log in to."""
        return False

    def get_user(self, handler: Any) -> User:
        """Return the same for all."""
        return User("visitor")


class _HandedOut:
    """A server's kernels as the page's handler sees them: it is told which one its visitor gets."""

    def __init__(self, kernels: Any, hand_out: Callable[[str], None]) -> None:
        self._kernels = kernels
        self._hand_out = hand_out

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kernels, name)

    async def get_rendered_notebook(self, notebook_name: str, **_: Any) -> Any:
        # Voila's second argument would tell the next visitor's kernel which address this one asked for.
        rendered = await self._kernels.get_rendered_notebook(notebook_name=notebook_name)
        self._hand_out(rendered[2])
        return rendered

    async def start_kernel(self, **options: Any) -> str:
        kernel_id: str = await self._kernels.start_kernel(**options)
        self._hand_out(kernel_id)
        return kernel_id


class PageHandler(LogsFailures, TornadoVoilaHandler):
    """The page; as Voila's handler, with ``visits`` beside its parameters."""

    route = "/"

    def initialize(self, visits: Visits, **options: Any) -> None:
        """Take the handler's parameters."""
        self._visits = visits
        super().initialize(**options)

    @property
    def kernel_manager(self) -> Any:
        """The kernels, one of which the visitor gets."""
        return _HandedOut(super().kernel_manager, self._hand_out)

    @authenticated
    async def get(self, path: str | None = None) -> None:
        """Answer with a page and its kernel's secret."""
        kernels = self.settings["kernel_manager"]
        if not self._visits.begin(kernels):
            raise HTTPError(503, reason="As many visitors as this server can take are here: try again soon")
        # Voila reads template and theme from it, and gives all of it to the kernel: the page takes no arguments.
        self.request.query = ""
        self.request.arguments.clear()
        try:
            await TornadoVoilaHandler.get(self, None)
        finally:
            self._visits.opened()

    def _hand_out(self, kernel_id: str) -> None:
        secret = self._visits.hand_out(kernel_id)
        for name, place in (
            (TALK_COOKIE, url_path_join(self.base_url, "api/kernels", kernel_id)),
            (END_COOKIE, url_path_join(self.base_url, "voila/api/shutdown", kernel_id)),
        ):
            self.set_cookie(
                name,
                secret,
                path=place,
                httponly=True,
                samesite="Strict",
                secure=self.request.protocol == "https",
            )
        IOLoop.current().call_later(self._visits.unclaimed_seconds, self._end_unclaimed, kernel_id)

    async def _end_unclaimed(self, kernel_id: str) -> None:
        # Voila keeps what it was told of a request until the kernel asks, which ours never do.
        RequestInfoSocketHandler._cache.pop(kernel_id, None)
        kernels = self.settings["kernel_manager"]
        if kernel_id in kernels and not self._visits.claimed(kernel_id):
            self.log.info("Ended a kernel whose page has not called.")
            self._visits.forget(kernel_id)
            await kernels.shutdown_kernel(kernel_id, now=True)

    def write_error(self, status_code: int, **options: Any) -> None:
        """Say when to come again."""
        if status_code == 503:
            self.set_header("Retry-After", str(_RETRY_SECONDS))
        super().write_error(status_code, **options)


class _OneLineErrors(LogsFailures, JupyterHandler):
    """Errors for programs; Jupyter's own are pages of another application."""

    def write_error(self, status_code: int, **_: Any) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code} {self._reason}\n")


class KernelSocket(_OneLineErrors, VoilaKernelWebsocketHandler):
    """The websocket between a page and its kernel."""

    route = "/api/kernels/channels"

    kernel_websocket_connection_class = PageConnection

    def initialize(self, visits: Visits) -> None:
        """Take the handler's parameters."""
        self._visits = visits
        self._unsent = 0

    def check_origin(self, origin: str | None = None) -> bool:
        """Whether a page of this very server asks; Jupyter also lets in whoever does not say where he comes from."""
        origin = self.request.headers.get("Origin")
        host = self.request.headers.get("Host", "")
        return origin is not None and host != "" and urlsplit(origin).netloc.lower() == host.lower()

    async def get(self, kernel_id: str) -> None:
        """Connect."""
        visit = self._visits.admit(kernel_id, self.get_cookie(TALK_COOKIE))
        if not self.check_origin():
            raise HTTPError(403)
        offered = self.request.headers.get("Sec-WebSocket-Protocol", "")
        if PROTOCOL not in [name.strip() for name in offered.split(",")]:
            # The older one leaves it to the message itself how it is to be read.
            raise HTTPError(400)
        if visit.sockets >= _MOST_SOCKETS:
            raise HTTPError(429)
        visit.claimed = True
        visit.sockets += 1
        try:
            # Ends when the websocket is closed.
            await VoilaKernelWebsocketHandler.get(self, kernel_id=kernel_id)
        finally:
            visit.sockets -= 1

    def write_message(self, message: Any, binary: bool = False) -> Any:
        """Send to the page, unless it has not read what it was sent before."""
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


class KernelStatus(_OneLineErrors, APIHandler):
    """Tells a page whether its kernel runs."""

    route = "/api/kernels"

    def initialize(self, visits: Visits) -> None:
        """Take the handler's parameters."""
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


class KernelEnd(_OneLineErrors, VoilaShutdownKernelHandler):
    """Ends a kernel when its page is left."""

    route = "/voila/api/shutdown"

    def initialize(self, visits: Visits) -> None:
        """Take the handler's parameters."""
        self._visits = visits

    @authenticated
    async def post(self, kernel_id: str) -> None:
        """End it."""
        self._visits.admit(kernel_id, self.get_cookie(END_COOKIE))
        self._visits.forget(kernel_id)
        if kernel_id in self.kernel_manager:
            await VoilaShutdownKernelHandler.post(self, kernel_id)
