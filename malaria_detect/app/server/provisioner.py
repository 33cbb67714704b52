"""Kernels forked off the fork parent, for jupyter_client, which finds this class by an entry point."""

import asyncio
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from malaria_detect.app.server.parent import Forked, fork

KERNEL = "malaria_detect.app.server.kernel:run_kernel"


class ForkedProvisioner(LocalProvisioner):
    """Starts kernels as copies of the fork parent; all else, signals and shutdown, is as for ordinary ones."""

    # It has what is used of a Popen.
    process: Forked | None = None  # type: ignore[assignment]

    async def send_signal(self, signum: int) -> None:
        """Send a signal to the kernel and its children; nobody else gets it where the kernel has ended."""
        # Its number may be another process's as soon as it has ended, as the fork parent waits for it at once.
        if self.process is not None and self.process.poll() is None:
            await super().send_signal(signum)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel; the command is what an ordinary one would be started by, and is not used."""
        folder = kwargs.get("cwd") or Path.cwd()
        # Voila's names of variables are of a class of its own: the copy would import Voila to read them.
        environment = {str(name): str(value) for name, value in kwargs["env"].items()}
        assert isinstance(self.parent, KernelManager)
        # The first one waits for seconds until the parent has loaded.
        kernel = await asyncio.to_thread(fork, KERNEL, self.parent.connection_file, environment, str(folder))
        # Its own group, whose leader it is: an interrupt reaches its children, too.
        self.process, self.pid, self.pgid = kernel, kernel.pid, kernel.pid
        self.cwd = folder
        return self.connection_info
