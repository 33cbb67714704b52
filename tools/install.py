"""Install requirements into .venv, on a machine without an NVIDIA GPU with PyTorch's much smaller CPU builds.

    python3 tools/install.py                     # what pages, predictions and the command line need: no PyTorch
    python3 tools/install.py -r requirements.txt

The arguments are those of `pip install`. uv is used if it is installed, and pip otherwise. An extra index that is set
in PIP_EXTRA_INDEX_URL (or, for uv, in UV_EXTRA_INDEX_URL) is used instead of PyTorch's.
"""

import os
import platform
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

# MALARIA_DETECT_CPU_INDEX names a mirror of it.
CPU_INDEX = os.environ.get("MALARIA_DETECT_CPU_INDEX", "https://download.pytorch.org/whl/cpu").rstrip("/")
PROBE_SECONDS = 3
ENVIRONMENT = Path(".venv")
_EXTRA_INDEXES = ("PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INDEX")


def main(arguments: Sequence[str]) -> int:
    """Create the environment if it is missing, install, and return the installer's exit status."""
    uv = shutil.which("uv")
    python = ENVIRONMENT / "bin" / "python"
    if uv:
        # As pip does: the newest version of all indexes, and not only of the first one that has the package.
        install = [uv, "pip", "install", "--python", str(python), "--index-strategy", "unsafe-best-match"]
    else:
        install = [str(python), "-m", "pip", "install"]
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    if arguments:
        index, sentence = builds_of_torch()
        print(sentence, flush=True)
        if index:
            install += ["--extra-index-url", index]
    return subprocess.run(
        [*install, *(arguments or base())], check=False, env=_with_names_for_uv()
    ).returncode


def base() -> list[str]:
    """The requirements above the line "# Training" of requirements.txt, as arguments of `pip install`."""
    light = Path("requirements.txt").read_text(encoding="utf-8").partition("\n# Training")[0]
    lines = [line for line in light.splitlines() if line and not line.startswith("#")]
    return [word for line in lines for word in line.split()]


def builds_of_torch() -> tuple[str | None, str]:
    """PyTorch's index of CPU builds if it is needed and can be reached, and a sentence that says what is installed."""
    for name in _EXTRA_INDEXES:
        if os.environ.get(name):
            return None, f"{name} is set: PyTorch is installed from there if that index has it."
    if platform.system() != "Linux":
        return None, "Installing the default builds of PyTorch."
    if has_nvidia_gpu():
        return None, "NVIDIA GPU found: installing the default builds of PyTorch, with CUDA."
    if can_be_reached(f"{CPU_INDEX}/torch/"):
        return CPU_INDEX, f"No NVIDIA GPU found: installing the CPU builds of PyTorch from {CPU_INDEX}."
    return None, (
        f"No NVIDIA GPU found, but {CPU_INDEX} cannot be reached: installing the default builds of PyTorch, which take "
        "several gigabytes more."
    )


def has_nvidia_gpu() -> bool:
    """Whether NVIDIA's driver lists a GPU."""
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return False
    listed = subprocess.run([smi, "--list-gpus"], capture_output=True, check=False)
    return listed.returncode == 0 and bool(listed.stdout.strip())


def can_be_reached(address: str) -> bool:
    """Whether a web address answers within a few seconds."""
    try:
        with urllib.request.urlopen(address, timeout=PROBE_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def _with_names_for_uv() -> dict[str, str]:
    """The environment, with pip's indexes also under the names that uv reads."""
    names = ("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS")
    pip = {f"UV_{name}": os.environ[f"PIP_{name}"] for name in names if os.environ.get(f"PIP_{name}")}
    if "UV_FIND_LINKS" in pip:
        pip["UV_FIND_LINKS"] = ",".join(pip["UV_FIND_LINKS"].split())
    return {**pip, **os.environ}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
