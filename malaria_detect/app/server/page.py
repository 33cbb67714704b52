"""The page's handler, which gives each visitor a kernel and the secret of that kernel.

The secret comes in two cookies, for talking to the kernel and for ending it. Their paths are those of that kernel's
addresses, so browsers send them nowhere else: tabs do not disturb one another, and returning visitors are not
recognised.
"""

from collections.abc import Callable
from typing import Any

from jupyter_server.auth.identity import IdentityProvider, User
from jupyter_server.utils import url_path_join
from tornado.ioloop import IOLoop
from tornado.web import HTTPError, authenticated
from voila.request_info_handler import RequestInfoSocketHandler
from voila.tornado.handler import TornadoVoilaHandler

from malaria_detect.app.server.problems import JsonHandler, Problem
from malaria_detect.app.server.telemetry import LogsFailures
from malaria_detect.app.server.visits import Visits

TALK_COOKIE = "malaria-detect-kernel"
END_COOKIE = "malaria-detect-end"
_RETRY_SECONDS = 30
# Kernels of the pool that are tried for one visitor, as some may have died.
_MOST_KERNELS = 5
# As Voila sends them with the page.
_HEADERS = {
    "Content-Type": "text/html",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
    "Expires": "0",
}


class Anybody(IdentityProvider):
    """Lets everybody see the page, without login or cookie."""

    # There is no login.
    auth_enabled = login_available = False

    def get_user(self, handler: Any) -> User:
        """The same user for everybody."""
        return User("visitor")


class _HandedOut:
    """The kernels of a server, which report to the page's handler the kernel that its visitor gets."""

    def __init__(self, kernels: Any, hand_out: Callable[[str], None]) -> None:
        self._kernels = kernels
        self._hand_out = hand_out

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kernels, name)

    async def get_rendered_notebook(self, notebook_name: str, **_: Any) -> Any:
        for _attempt in range(_MOST_KERNELS):
            # Without Voila's second argument, which would pass this visitor's request to the next visitor's kernel.
            rendered = await self._kernels.get_rendered_notebook(notebook_name=notebook_name)
            kernel_id = rendered[2]
            if kernel_id in self._kernels and await self._kernels.is_alive(kernel_id):
                self._hand_out(kernel_id)
                return rendered
            if kernel_id in self._kernels:
                await self._kernels.shutdown_kernel(kernel_id, now=True)
        raise HTTPError(503, reason="No session could be started: try again in a minute")

    async def start_kernel(self, **options: Any) -> str:
        kernel_id: str = await self._kernels.start_kernel(**options)
        self._hand_out(kernel_id)
        return kernel_id


class PageHandler(LogsFailures, TornadoVoilaHandler):
    """Serves the page; Voila's handler with the additional parameter ``visits``."""

    route = "/"

    def initialize(self, visits: Visits, **options: Any) -> None:
        """Keep the arguments of the application's rule."""
        self._visits = visits
        super().initialize(**options)

    @property
    def kernel_manager(self) -> Any:
        """The kernels; the visitor gets one of them."""
        return _HandedOut(super().kernel_manager, self._hand_out)

    @property
    def template_namespace(self) -> dict[str, Any]:
        """Variables of error pages: none. Jupyter's set a cookie, and describe the machine."""
        return {}

    def check_xsrf_cookie(self) -> None:
        """Do nothing: the page only answers GET and HEAD, which change nothing for others."""

    async def head(self, path: str | None = None) -> None:
        """Answer with the headers of the page, without a kernel."""
        if not self._visits.begin(self.settings["kernel_manager"]):
            raise _too_many()
        self._visits.opened()
        for name, value in _HEADERS.items():
            self.set_header(name, value)
        # At once, because the length of the page is not known.
        await self.flush()

    @authenticated
    async def get(self, path: str | None = None) -> None:
        """Answer with the page and its kernel's secret, or 503 if there are too many visitors."""
        kernels = self.settings["kernel_manager"]
        if not self._visits.begin(kernels):
            raise _too_many()
        # The page has no parameters, but Voila would read template and theme from the query and pass it to the kernel.
        self.request.query = ""
        self.request.arguments.clear()
        try:
            await TornadoVoilaHandler.get(self, None)
        finally:
            self._visits.opened()
            if hasattr(kernels, "fill_if_needed"):
                # Voila would never refill a pool that was empty at a visit.
                kernels.fill_if_needed(notebook_name=self.notebook_path)

    def _hand_out(self, kernel_id: str) -> None:
        secret = self._visits.hand_out(kernel_id)
        for name, place in (
            (TALK_COOKIE, url_path_join(self.base_url, "api/kernels", kernel_id)),
            (END_COOKIE, url_path_join(self.base_url, "voila/api/shutdown", kernel_id)),
        ):
            secure = self.request.protocol == "https"
            self.set_cookie(name, secret, path=place, httponly=True, samesite="Strict", secure=secure)
        IOLoop.current().call_later(self._visits.unclaimed_seconds, self._end_unclaimed, kernel_id)

    async def _end_unclaimed(self, kernel_id: str) -> None:
        # Voila stores each request until its kernel asks for it, which our kernels never do. There is no public way.
        RequestInfoSocketHandler._cache.pop(kernel_id, None)
        kernels = self.settings["kernel_manager"]
        if kernel_id in kernels and self._visits.awaits(kernel_id):
            self.log.info("Ended a kernel whose page did not connect.")
            self._visits.forget(kernel_id)
            await kernels.shutdown_kernel(kernel_id, now=True)

    def write_error(self, status_code: int, **options: Any) -> None:
        """Send the error, and when to try again or which methods there are."""
        self.tell_allowed(status_code)
        if status_code == 503:
            self.set_header("Retry-After", str(_RETRY_SECONDS))
        super().write_error(status_code, **options)


class AddSlash(LogsFailures):
    """Redirects from the address of the page without its last slash."""

    route = "/"

    def initialize(self, page: str) -> None:
        """Keep the arguments of the application's rule."""
        self._page = page

    def get(self) -> None:
        """Redirect to the page, with the query."""
        query = self.request.query
        self.redirect(f"{self._page}?{query}" if query else self._page)

    head = get


class NotFound(JsonHandler):
    """Answers 404 to all other addresses."""

    route = "not found"

    def prepare(self) -> None:
        """Answer 404."""
        nothing = "There is nothing at this address. See api/openapi.json for the description of the API."
        raise Problem(404, nothing)


def _too_many() -> HTTPError:
    return HTTPError(503, reason="Too many visitors are using this server: try again in a minute")
