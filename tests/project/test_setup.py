"""What a fresh clone offers: the package, pins, the Makefile, notebooks, and the rule that CI skips nothing."""

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
NOTEBOOKS = sorted([*PROJECT.glob("*.ipynb"), *(PROJECT / "notebooks").glob("*.ipynb")])


def pins() -> dict[str, Requirement]:
    """The requirements in requirements.txt, by canonical name."""
    lines = (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith(("#", "-e"))]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def run(*command: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, **settings)


# The package


def test_importing_the_package_costs_no_torch() -> None:
    code = "import sys, malaria_detect as m; m.read_image, m.read_metadata, m.MalariaDetectError; "
    result = run(sys.executable, "-c", code + "print({'torch', 'fastai'} & set(sys.modules))")
    assert (result.returncode, result.stdout, result.stderr) == (0, "set()\n", "")


def test_every_exported_name_exists() -> None:
    assert all(getattr(malaria_detect, name) is not None for name in malaria_detect.__all__)
    assert set(dir(malaria_detect)) == set(malaria_detect.__all__)
    with pytest.raises(AttributeError):
        malaria_detect.diagnose  # noqa: B018 - the access is the test


def test_commands_start_without_modules_that_only_posix_has() -> None:
    # A module that is None in sys.modules cannot be imported, as on Windows.
    code = """
import sys
sys.modules.update(dict.fromkeys(["fcntl", "resource", "pwd", "grp", "termios"]))
import malaria_detect.app.html_report, malaria_detect.app.results_table, malaria_detect.inference.prediction
from malaria_detect.cli import main
main(["info", "--model", "nothing.pkl"])
"""
    result = run(sys.executable, "-c", code)
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.startswith("malaria-detect: ")


def test_installed_command_citation_and_changelog_have_the_version_of_the_package() -> None:
    assert metadata.version("malaria-detect") == malaria_detect.__version__
    for name, line in (("CITATION.cff", "version: {}\n"), ("CHANGELOG.md", "## {}")):
        assert line.format(malaria_detect.__version__) in (PROJECT / name).read_text(encoding="utf-8"), name


# Pins and ranges


def test_every_dependency_is_pinned_inside_its_range() -> None:
    for line in PYPROJECT["dependencies"]:
        dependency = Requirement(line)
        pin = pins()[canonicalize_name(dependency.name)]
        (version,) = [specifier.version for specifier in pin.specifier]
        assert dependency.specifier.contains(version), f"{pin} is outside {dependency}"


def test_the_pinned_versions_are_installed() -> None:
    extras = PYPROJECT["optional-dependencies"]
    tools = [Requirement(line) for line in (*extras["test"], *extras["docs"])]
    for pin in [*pins().values(), *tools]:
        assert str(pin.specifier).startswith("=="), f"{pin} is not pinned"
        installed = metadata.version(pin.name)
        assert pin.specifier.contains(installed), f"{installed} is installed instead of {pin}"


def test_the_package_imports_exactly_what_it_declares() -> None:
    owners = metadata.packages_distributions()
    imported = set()
    for source in (PROJECT / "malaria_detect").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                imported.add(node.module.split(".")[0])
    outside = imported - set(sys.stdlib_module_names) - {"malaria_detect"}
    needed = {canonicalize_name(owners.get(name, [name])[0]) for name in outside}
    assert needed == {canonicalize_name(Requirement(line).name) for line in PYPROJECT["dependencies"]}


# Makefile


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # The variables of an outer `make test` would change the output.
    outer = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
    quiet = {name: value for name, value in os.environ.items() if name not in outer}
    return run("make", *arguments, env={**quiet, **environment})


def test_make_lists_targets_that_exist() -> None:
    listed = re.findall(r"^make ([\w-]+) +\S", make().stdout, re.MULTILINE)
    assert {"dashboard", "test", "train"} <= set(listed)
    assert make("--dry-run", *listed).returncode == 0


def test_make_refuses_an_old_python(tmp_path: Path) -> None:
    old = "import sys\nsys.version_info = (3, 10, 14)\n"
    (tmp_path / "sitecustomize.py").write_text(old, encoding="utf-8")
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(PROJECT / name, tmp_path)
    python = f"PYTHON={sys.executable}"
    refused = make("-C", str(tmp_path), "dashboard", python, PYTHONPATH=str(tmp_path))
    assert refused.returncode != 0
    assert "Python 3.11" in refused.stdout
    assert not (tmp_path / ".venv").exists()


# Notebooks as they are committed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_committed_without_outputs_and_widget_state(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None), cell.source
        assert "attachments" not in cell


# CI skips nothing


def test_a_skipped_test_fails_if_skipping_is_forbidden(tmp_path: Path) -> None:
    for name, source in {
        "passing": "def test_passing(): pass",
        "skipping": "import pytest\ndef test_cells(): pytest.skip('no cells')",
        "skipped": "import pytest\npytest.skip('no browser', allow_module_level=True)",
    }.items():
        (tmp_path / f"test_{name}.py").write_text(source, encoding="utf-8")
    options = ("-ra", "-p", "tests.conftest", "-p", "no:cacheprovider", "--continue-on-collection-errors")
    result = run(
        *(sys.executable, "-m", "pytest", *options, str(tmp_path)),
        env={**os.environ, "MALARIA_DETECT_NO_SKIP": "1"},
    )
    for expected in ("1 failed, 1 passed, 1 error", "no cells", "no browser"):
        assert expected in result.stdout
