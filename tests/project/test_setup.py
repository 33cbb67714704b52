"""The way in: package, pins, Makefile, notebooks as they are committed."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import malaria_detect

PROJECT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COMMANDS = (
    "dashboard",
    "test",
    "train",
    "evaluate",
    "compare",
    "report",
    "bench",
    "bench-ways",
    "bench-serve",
    "audit",
    "clean",
)
NOTEBOOKS = ("dashboard.ipynb", "notebooks/explore.ipynb", "notebooks/labels.ipynb", "train.ipynb")


def pins() -> dict[str, Requirement]:
    """What requirements.txt pins, by canonical name."""
    lines = (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith(("#", "-e"))]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def run(*command: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, **settings)


# The package


def test_importing_the_package_costs_no_torch() -> None:
    code = (
        "import sys, malaria_detect as m; m.read_image, m.read_metadata, m.MalariaDetectError\n"
        "print(sorted({'torch', 'fastai'} & set(sys.modules)))"
    )
    result = run(sys.executable, "-c", code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "[]\n", "")


def test_every_exported_name_is_there_and_they_are_few() -> None:
    assert len(malaria_detect.__all__) <= 10
    assert all(getattr(malaria_detect, name) is not None for name in malaria_detect.__all__)
    assert set(dir(malaria_detect)) == set(malaria_detect.__all__)
    with pytest.raises(AttributeError, match="no attribute 'diagnose'"):
        malaria_detect.diagnose  # noqa: B018 - the look-up is the test


def test_installed_command_and_citation_carry_the_package_version() -> None:
    assert metadata.version("malaria-detect") == malaria_detect.__version__
    assert f"version: {malaria_detect.__version__}\n" in (PROJECT / "CITATION.cff").read_text(
        encoding="utf-8"
    )
    assert f"## {malaria_detect.__version__}" in (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")


# Pins and ranges


def test_every_dependency_is_pinned_inside_its_range() -> None:
    for line in PYPROJECT["dependencies"]:
        dependency = Requirement(line)
        pin = pins()[canonicalize_name(dependency.name)]
        (version,) = [specifier.version for specifier in pin.specifier]
        assert dependency.specifier.contains(version), f"{pin} is outside {dependency}"


def test_the_pinned_versions_are_the_installed_ones() -> None:
    tools = [Requirement(line) for line in PYPROJECT["optional-dependencies"]["test"]]
    for pin in [*pins().values(), *tools]:
        assert str(pin.specifier).startswith("=="), f"{pin} is no pin"
        assert pin.specifier.contains(metadata.version(pin.name)), (
            f"{metadata.version(pin.name)} is not {pin}"
        )


def test_the_package_imports_what_it_declares_and_no_more() -> None:
    owners = metadata.packages_distributions()
    imported = set()
    for source in (PROJECT / "malaria_detect").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                imported.add(node.module.split(".")[0])
    outside = imported - set(sys.stdlib_module_names) - {"malaria_detect"}
    needed = {canonicalize_name(owners[name][0]) for name in outside}
    declared = {canonicalize_name(Requirement(line).name) for line in PYPROJECT["dependencies"]}
    assert needed == declared


# Makefile


def make(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    # Set by an outer `make test`, they would add lines of their own to what is read here.
    quiet = {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
    }
    return run("make", *arguments, env={**quiet, **settings.pop("env", {})}, **settings)


def test_make_alone_lists_all_targets() -> None:
    listed = re.findall(r"^make ([\w-]+) +\S", make().stdout, re.MULTILINE)
    assert listed == ["help", *COMMANDS]


@pytest.mark.parametrize("target", COMMANDS)
def test_target_exists(target: str) -> None:
    assert make("--dry-run", target).returncode == 0


def test_host_and_port_can_be_chosen() -> None:
    usual, chosen = (
        make("--dry-run", "dashboard").stdout,
        make("-n", "dashboard", "HOST=::1", "PORT=9999").stdout,
    )
    assert "--host 127.0.0.1 --port 8866" in usual
    assert "--host ::1 --port 9999" in chosen


def test_an_old_python_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.version_info = (3, 10, 14)\n", encoding="utf-8"
    )
    shutil.copy(PROJECT / "Makefile", tmp_path)
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).touch()
    old = make(
        "-C", str(tmp_path), "dashboard", f"PYTHON={sys.executable}", env={"PYTHONPATH": str(tmp_path)}
    )
    assert old.returncode != 0
    assert (
        "malaria_detect needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 dashboard" in old.stdout
    )
    assert not (tmp_path / ".venv").exists()


# Notebooks as they are committed


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_is_committed_without_outputs_and_widget_state(name: str) -> None:
    notebook = nbformat.read(PROJECT / name, as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), cell.source
        assert "attachments" not in cell


def test_dashboard_is_three_cells() -> None:
    assert len(nbformat.read(PROJECT / "dashboard.ipynb", as_version=4).cells) == 3


# The rule that CI skips nothing


@pytest.mark.parametrize(
    ("forbidden", "closing"), [("", "1 passed, 2 skipped"), ("1", "1 failed, 1 passed, 1 error")]
)
def test_a_skipped_test_fails_where_skipping_is_forbidden(
    forbidden: str, closing: str, tmp_path: Path
) -> None:
    for name, source in {
        "passing": "def test_passing(): pass",
        "skipping": "import pytest\ndef test_cells(): pytest.skip('no cells')",
        "skipped": "import pytest\npytest.skip('no browser', allow_module_level=True)",
    }.items():
        (tmp_path / f"test_{name}.py").write_text(source, encoding="utf-8")
    options = ("-ra", "-p", "tests.conftest", "-p", "no:cacheprovider", "--continue-on-collection-errors")
    result = run(
        *(sys.executable, "-m", "pytest", *options, str(tmp_path)),
        env={**os.environ, "MALARIA_DETECT_NO_SKIP": forbidden},
    )
    assert closing in result.stdout
    assert "no cells" in result.stdout
    assert "no browser" in result.stdout
