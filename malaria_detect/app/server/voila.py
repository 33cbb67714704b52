"""What Voila is given beyond ``voila.json``: our page templates, and kernels that are forked.

Voila looks for templates in Jupyter's data folders only, so that they would have to be installed outside the package.
The kernel specs are the first of our objects that it makes (``VoilaConfiguration.kernel_spec_manager_class``),
before it opens the first template: here the package's own folders are put in front of Voila's list.
"""

from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpec, KernelSpecManager

from malaria_detect.app.server.parent import forks_here

TEMPLATES = Path(__file__).parent / "templates"
STYLE = Path(__file__).parent.parent / "widgets" / "style"
KERNELS = Path(__file__).parent / "kernels"
FORKED = "malaria-detect"


class PageKernelSpecs(KernelSpecManager):
    """Notebooks that ask for Python's own kernel get a forked one, where processes can be forked.

    As a side effect Voila's pages come from :mod:`malaria_detect`.

    Parameters
    ----------
    parent : voila.app.Voila, optional
        Where it has template paths, ours go in front. Other applications are left alone.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel_dirs = [str(KERNELS), *self.kernel_dirs]
        self._forks = forks_here()
        if not self._forks:
            self.log.warning(
                "Kernels cannot be forked on this system: each visitor's imports everything anew."
            )
        if self.parent is not None and not hasattr(self.parent, "api_token"):
            self.log.warning("Voila alone does not guard the page: `malaria-detect serve` does.")
        if self.parent is not None and hasattr(self.parent, "template_paths"):
            self.parent.template_paths = [str(TEMPLATES), str(STYLE), *self.parent.template_paths]

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return the spec of a kernel; that of Python's own is the forked one's."""
        return super().get_kernel_spec(
            FORKED if self._forks and kernel_name == NATIVE_KERNEL_NAME else kernel_name
        )
