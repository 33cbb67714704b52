"""Virtual environments with the built wheel, far from the checkout."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

PROJECT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @classmethod
    def created(cls, folder: Path) -> "Environment":
        """A new one without pip."""
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
        return cls(folder)

    def install(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Install packages with uv."""
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(self.folder)]
        return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False)

    def run(
        self,
        *command: str,
        cwd: Path,
        status: int = 0,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [self.program(command[0]), *command[1:]],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": "", **environment},  # not the checkout
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    def program(self, name: str) -> Path:
        """A program of the environment."""
        return self.folder / "Scripts" / f"{name}.exe" if os.name == "nt" else self.folder / "bin" / name

    @property
    def packages(self) -> Path:
        """Where packages are installed."""
        (found,) = self.folder.glob("Lib/site-packages" if os.name == "nt" else "lib/python*/site-packages")
        return found


def build_wheel(folder: Path) -> Path:
    """Build the wheel of the checkout; returns its file."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(PROJECT)]
    subprocess.run(build, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel
