"""Kernels forked from the fork parent; jupyter_client finds this class by an entry point."""

import asyncio
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from malaria_detect.app.server.parent import Forked, fork

KERNEL = "malaria_detect.app.server.kernel:run_kernel"


class ForkedProvisioner(LocalProvisioner):
    """Starts kernels as copies of the fork parent; signals and shutdown work as for ordinary kernels."""

    # Has the part of the interface of Popen that is used.
    process: Forked | None = None  # type: ignore[assignment]
    # More than one if the kernel died and was restarted: the widgets of its page were lost with the first process.
    launches = 0

    async def send_signal(self, signum: int) -> None:
        """Send a signal to the kernel and its children, or to nobody if the kernel has ended."""
        # As soon as the kernel has ended, another process may have its id.
        if self.process is not None and self.process.poll() is None:
            await super().send_signal(signum)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel; the command line of an ordinary kernel is not used."""
        folder = kwargs.get("cwd") or Path.cwd()
        # Voila's variable names have a class of their own, for which the copy would have to import Voila.
        environment = {str(name): str(value) for name, value in kwargs["env"].items()}
        assert isinstance(self.parent, KernelManager)
        # The first kernel waits for seconds until the parent has loaded.
        self.launches += 1
        kernel = await asyncio.to_thread(fork, KERNEL, self.parent.connection_file, environment, str(folder))
        # The kernel leads its own process group, so an interrupt also reaches its children.
        self.process, self.pid, self.pgid = kernel, kernel.pid, kernel.pid
        self.cwd = folder
        return self.connection_info


def was_restarted(kernel: KernelManager) -> bool:
    """Whether a kernel is not in its first process; unknown, and False, for kernels that were not forked."""
    return getattr(kernel.provisioner, "launches", 1) > 1
