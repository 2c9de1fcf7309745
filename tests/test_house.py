"""The house keeps its shape: layout, direction of imports, sizes, docstrings, and what a wheel holds."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import crm_ml

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "crm_ml"
ORDER = [
    "errors", "compiled", "notebook_summary", "events", "features", "evaluation", "clv", "churn",
    "decisions", "plots", "report", "registry", "scoring", "cli",
]  # fmt: skip
HOME = {"matplotlib": "plots/", "mlflow": "registry/", "pyspark": "events/spark"}
LAZY = {"lifetimes", "numba", "statsmodels", "xgboost"}
TOP_LEVEL = {
    "crm_ml", "notebooks", "tests", "models", "data",
    "pyproject.toml", "README.md", "CHANGELOG.md", "Makefile", "LICENSE",
}  # fmt: skip
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Import(NamedTuple):
    file: str
    line: int
    target: str
    in_function: bool
    for_types: bool

    def __str__(self) -> str:
        return f"crm_ml/{self.file}:{self.line} imports {self.target}"


def sources() -> dict[str, ast.Module]:
    """Parse every module, by its path inside the package."""
    return {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def targets(node: ast.AST, file: str) -> list[str]:
    """Give the dotted names an import statement takes, relative ones made absolute."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    module = node.module or ""
    if node.level:
        parents = ["crm_ml", *Path(file).parent.parts]
        module = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [module])])
    return [f"crm_ml.{alias.name}" for alias in node.names] if module == "crm_ml" else [module]


def imports(tree: ast.AST, file: str, *, in_function: bool = False, for_types: bool = False) -> Iterator[Import]:
    """Walk a tree's imports, knowing whether each runs with the module, in a function, or for types only."""
    for node in ast.iter_child_nodes(tree):
        for target in targets(node, file):
            yield Import(file, node.lineno, target, in_function, for_types)  # type: ignore[attr-defined]
        guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        yield from imports(
            node,
            file,
            in_function=in_function or isinstance(node, DEFINITIONS),
            for_types=for_types or guarded,
        )


def all_imports() -> list[Import]:
    return [found for file, tree in sources().items() for found in imports(tree, file)]


def tracked_files() -> list[str]:
    """List what git tracks or would add."""
    if not (ROOT / ".git").exists():
        pytest.skip("git's list of files is needed, and this is no git checkout")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted({name for name in listed.splitlines() if (ROOT / name).is_file()})


def test_the_top_level_holds_only_what_it_should() -> None:
    names = {name.split("/")[0] for name in tracked_files()}
    assert {name for name in names if not name.startswith(".")} - TOP_LEVEL == set()


def test_imports_point_one_way() -> None:
    wrong = []
    for found in all_imports():
        root, *inside = found.target.split(".")
        if found.file == "__init__.py" or root != "crm_ml" or inside == ["__version__"]:
            continue
        own = Path(found.file).parts[0].removesuffix(".py")
        other = inside[0] if inside else ""
        if own not in ORDER or other not in ORDER or ORDER.index(other) > ORDER.index(own):
            wrong.append(str(found))
    assert wrong == []


def test_heavy_packages_stay_where_they_belong() -> None:
    wrong = []
    for found in all_imports():
        top = found.target.split(".")[0]
        if top in HOME and not found.file.startswith(HOME[top]):
            wrong.append(f"{found}, which belongs in crm_ml/{HOME[top]}")
        if top in LAZY and not (found.in_function or found.for_types):
            wrong.append(f"{found} with the module, not inside a function")
    assert wrong == []


def test_importing_the_package_is_light() -> None:
    heavy = sorted({*HOME, *LAZY})
    script = f"import sys, crm_ml; print(*[name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_every_public_name_resolves() -> None:
    assert [name for name in crm_ml.__all__ if not hasattr(crm_ml, name)] == []
    assert len(set(crm_ml.__all__)) == len(crm_ml.__all__)


def test_no_file_passes_400_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > 400} == {}


def test_no_function_body_passes_60_lines() -> None:
    long = {}
    for file, tree in sources().items():
        for node in ast.walk(tree):
            if not isinstance(node, DEFINITIONS):
                continue
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            if lines > 60:
                long[f"crm_ml/{file}:{node.lineno} {node.name}"] = lines
    assert long == {}


def test_every_public_definition_has_a_docstring() -> None:
    bare = []
    for file, tree in sources().items():
        public: list[str] = next(
            (
                ast.literal_eval(node.value)
                for node in tree.body
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            ),
            [],
        )
        bare += [
            f"crm_ml/{file}:{node.lineno} {node.name}"
            for node in tree.body
            if isinstance(node, (*DEFINITIONS, ast.ClassDef)) and node.name in public and not ast.get_docstring(node)
        ]
    assert bare == []


def forbidden() -> re.Pattern[bytes]:
    """Build the pattern of what ties a file to one machine, in pieces so that this file does not match."""
    homes = [
        "/wor" + "k/",
        "/roo" + "t/",
        "/hom" + "e/[a-z]",
        "/User" + "s/[A-Za-z]",
        "/op" + "t/(?:wheels|py)",
    ]
    hosts = ["py" + "pi", "python" + "hosted", "npm" + "js", "debi" + "an", "ana" + "conda"]
    options = ["--find-" + "links", "--(?:extra-)?index-" + "url", "file:/" + "//"]
    address = r"https?://[a-z0-9.-]*(?:" + "|".join(hosts) + r")\."
    return re.compile("|".join([*homes, address, *options]).encode())


def test_no_file_names_a_machine_or_a_registry() -> None:
    pattern = forbidden()
    found = {
        name: hit.group().decode() for name in tracked_files() if (hit := pattern.search((ROOT / name).read_bytes()))
    }
    assert found == {}


def test_every_dependency_has_a_tested_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = {
        re.split(r"[^A-Za-z0-9-]", requirement)[0]
        for requirement in [*project["dependencies"], *extras["notebook"], *extras["dev"]]
        if not requirement.startswith("crm-ml")
    }
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*(?: ; .+)?", line)] == []
    assert wanted - {line.split("==")[0] for line in pins} == set()


@pytest.fixture(scope="module")
def wheel_contents(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    pytest.importorskip("hatchling", reason="hatchling, of the dev extra, builds the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env={**os.environ, "NO_COLOR": "1"})
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_the_whole_package_and_the_sample(wheel_contents: set[str]) -> None:
    package = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    sample = {
        f"crm_ml/events/sample_data/{name}" for name in ("README.md", "interactions.parquet", "transactions.parquet")
    }
    assert wheel_contents == package | sample


def test_the_wheel_holds_types_templates_and_styles(wheel_contents: set[str]) -> None:
    assert "crm_ml/py.typed" in wheel_contents
    suffixes = {Path(name).suffix for name in wheel_contents if name.startswith("crm_ml/report/")}
    assert ".css" in suffixes
    assert suffixes & {".html", ".j2", ".jinja"}
