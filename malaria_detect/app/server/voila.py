"""Extensions of Voila beyond ``voila.json``: the package's page templates, and forked kernels.

Voila only looks for templates in Jupyter's data folders, outside the package. It creates the kernel spec manager
(``VoilaConfiguration.kernel_spec_manager_class``) before it opens the first template, so the package's own folders are
added to Voila's list there.
"""

from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpec, KernelSpecManager

from malaria_detect.app.server.parent import forks_here

TEMPLATES = Path(__file__).parent / "templates"
_STYLE = Path(__file__).parent.parent / "widgets" / "style"
KERNELS = Path(__file__).parent / "kernels"
FORKED = "malaria-detect"


class PageKernelSpecs(KernelSpecManager):
    """Kernel specs in which Python's kernel is a forked one, on systems that can fork.

    As a side effect, Voila uses the page templates of :mod:`malaria_detect`.

    Parameters
    ----------
    parent : voila.app.Voila, optional
        If it has template paths, the package's templates are put first.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel_dirs = [str(KERNELS), *self.kernel_dirs]
        self._forks = forks_here()
        if not self._forks:
            self.log.warning(
                "This system cannot fork kernels. Each visitor's kernel imports everything again and starts slowly."
            )
        if self.parent is not None and not hasattr(self.parent, "api_token"):
            self.log.warning("Voila alone does not protect the page. Use `malaria-detect serve` instead.")
        if self.parent is not None and hasattr(self.parent, "template_paths"):
            self.parent.template_paths = [str(TEMPLATES), str(_STYLE), *self.parent.template_paths]

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Spec of a kernel; for Python's own kernel, the spec of the forked one."""
        return super().get_kernel_spec(
            FORKED if self._forks and kernel_name == NATIVE_KERNEL_NAME else kernel_name
        )
