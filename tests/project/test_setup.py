"""What a fresh clone offers: the package, pins, the Makefile, notebooks, and the rule that CI skips nothing."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

import malaria_detect
from tools.doctor import pins, tools

PROJECT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOTEBOOKS = sorted([*PROJECT.glob("*.ipynb"), *(PROJECT / "notebooks").glob("*.ipynb")])


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


def declared(*extras: str) -> dict[NormalizedName, Requirement]:
    """What the package requires, or what these extras add, by canonical name."""
    chosen = [line for extra in extras for line in PYPROJECT["optional-dependencies"][extra]]
    found = map(Requirement, chosen if extras else PYPROJECT["dependencies"])
    return {canonicalize_name(requirement.name): requirement for requirement in found}


# For those who edit notebooks; nothing imports it.
JUPYTERLAB = {canonicalize_name("jupyterlab")}


def test_every_dependency_is_pinned_inside_its_range() -> None:
    pinned = {canonicalize_name(pin.name): pin for pin in pins()}
    for name, dependency in (declared() | declared("train", "designs")).items():
        if name not in JUPYTERLAB:
            (version,) = [specifier.version for specifier in pinned[name].specifier]
            assert dependency.specifier.contains(version), f"{pinned[name]} is outside {dependency}"


def test_every_tool_for_tests_and_documentation_is_pinned() -> None:
    assert [tool for tool in tools() if not re.fullmatch(r"==[\d.]+", str(tool.specifier))] == []


def imports(tree: ast.AST) -> set[str]:
    """Packages that a piece of code imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def test_the_package_imports_exactly_what_it_declares() -> None:
    imported = defaultdict[str, set[str]](set)
    for source in (PROJECT / "malaria_detect").rglob("*.py"):
        tree = ast.parse(source.read_text(encoding="utf-8"))
        guarded = defaultdict[str, set[str]](set)
        for block in [node for node in ast.walk(tree) if isinstance(node, ast.With)]:
            if extra := re.fullmatch(r"from_extra\('(\w+)'\)", ast.unparse(block.items[0])):
                guarded[extra[1]] |= imports(block)
        for name, names in guarded.items():
            imported[name] |= names
        imported[""] |= imports(tree).difference(*guarded.values())
    assert imported.keys() == {"", "train", "designs"}
    owners, own = metadata.packages_distributions(), set(sys.stdlib_module_names) | {"malaria_detect"}
    for name, names in imported.items():
        needed = {canonicalize_name(owners.get(one, [one])[0]) for one in names - own}
        assert needed == declared(*[name] if name else []).keys() - JUPYTERLAB, name


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
