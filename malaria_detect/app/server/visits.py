"""Visits: the secrets that connect a visitor with the kernel of the visitor's page, and the number of visitors."""

import hmac
import secrets
from dataclasses import dataclass, field
from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado.web import HTTPError


@dataclass
class Visit:
    """One visitor's use of one kernel."""

    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    sockets: int = 0
    claimed: bool = False


@dataclass
class Visits:
    """All visits of a server: ``most`` at the same time.

    A kernel is ended if its page has not connected within ``unclaimed_seconds``.
    """

    most: int = 30
    unclaimed_seconds: float = 120
    _of_kernel: dict[str, Visit] = field(default_factory=dict, repr=False)
    _opening: int = 0

    def __len__(self) -> int:
        """Number of visits; those whose kernels have ended count until the next one begins."""
        return len(self._of_kernel) + self._opening

    def begin(self, kernels: Any) -> bool:
        """Register a request for the page, if there is room among the running kernels for another visit.

        Each True must be followed by a call of :meth:`opened`.
        """
        self._of_kernel = {name: visit for name, visit in self._of_kernel.items() if name in kernels}
        if len(self) >= self.most:
            return False
        self._opening += 1
        return True

    def opened(self) -> None:
        """Register that a page was delivered, or failed."""
        self._opening -= 1

    def hand_out(self, kernel_id: str) -> str:
        """Secret of the kernel that a visitor gets."""
        return self._of_kernel.setdefault(kernel_id, Visit()).secret

    def forget(self, kernel_id: str) -> None:
        """Register that a kernel was ended."""
        self._of_kernel.pop(kernel_id, None)

    def awaits(self, kernel_id: str) -> bool:
        """Whether a kernel's page was handed out and has not connected yet."""
        return kernel_id in self._of_kernel and not self._of_kernel[kernel_id].claimed

    def admit(self, kernel_id: str, secret: str | None) -> Visit:
        """The visit of a kernel; HTTPError 404 if the secret is wrong or there is no such kernel."""
        visit = self._of_kernel.get(kernel_id)
        expected = visit.secret if visit else ""
        if not hmac.compare_digest(expected.encode(), (secret or "").encode()) or visit is None:
            raise HTTPError(404)
        return visit


class PageKernels(AsyncMappingKernelManager):
    """The kernels of pages; none is culled as idle while its page loads, however long that takes."""

    visits: Visits | None = None

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        """End a kernel that is idle for too long, unless its page has yet to connect."""
        if self.visits is None or not self.visits.awaits(kernel_id):
            await super().cull_kernel_if_idle(kernel_id)
