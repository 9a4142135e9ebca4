"""The house rules, as tests: what is in the repository, and what must never be."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
MODULE_LINES_MAX = {"src": 400, "tests": 700, "bench": 500, "servers": 400, "docs": 400}
"""Tests are longer, because a table has a line per case."""

# Written in parts, so that this file does not name what it forbids.
_REGISTRIES = ("py" + "pi", "python" + "hosted", "npm" + "js", "mav" + "en", "crates" + ".io", "go" + "lang")
_REGISTRY_URL = re.compile(r"https?://[a-z0-9.-]*(" + "|".join(map(re.escape, _REGISTRIES)) + ")")
_MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:wo" + r"rk|ho" + r"me|ro" + r"ot|Us" + r"ers)/")
_NOT_RUN = re.compile(
    r"pytest\.(?:mark\.)?(?:sk" + r"ip|xf" + r"ail)|import" + r"orskip|unittest\.sk" + r"ip"
)
_LEFT_OPEN = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|NotImpl" + r"ementedError)\b")


def _tracked() -> list[Path]:
    """Return the files of the repository; in a copy without Git, the files that are there."""
    if not (PROJECT / ".git").exists():
        folders = ("src", "tests", "docs", "examples", "bench")
        return [file for file in (*PROJECT.glob("*"), *_below(folders)) if file.is_file()]
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [PROJECT / name for name in listed.split("\0") if name and (PROJECT / name).is_file()]


def _below(folders: tuple[str, ...]) -> Iterator[Path]:
    for folder in folders:
        for file in (PROJECT / folder).rglob("*"):
            if "__pycache__" not in file.parts and "results" not in file.parts:
                yield file


def _texts(*suffixes: str) -> Iterator[tuple[Path, str]]:
    for file in _tracked():
        if not suffixes or file.suffix in suffixes:
            content = file.read_bytes()
            if b"\0" not in content:
                yield file.relative_to(PROJECT), content.decode()


def _lines_with(pattern: re.Pattern[str], *suffixes: str, under: str = "") -> list[str]:
    return [
        f"{file}:{number}: {line.strip()}"
        for file, text in _texts(*suffixes)
        if str(file).startswith(under)
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_registry_is_named() -> None:
    """No tracked file names the host of a package registry: where packages come from is pip's business."""
    assert _lines_with(_REGISTRY_URL) == []


def test_no_path_of_a_machine() -> None:
    """No tracked file names a folder of somebody's machine."""
    assert _lines_with(_MACHINE_PATH) == []


def test_every_test_runs() -> None:
    """No test can leave itself out."""
    assert _lines_with(_NOT_RUN, ".py", under="tests") == []


def test_nothing_is_left_open() -> None:
    """No source holds a note of work that is still to be done."""
    assert _lines_with(_LEFT_OPEN, ".py", under="src") == []


def test_modules_have_one_subject() -> None:
    """No module is longer than can be read at once."""
    lengths = {file: text.count("\n") for file, text in _texts(".py")}
    long = {str(file): lines for file, lines in lengths.items() if lines > MODULE_LINES_MAX[file.parts[0]]}
    assert long == {}


def test_no_error_is_swallowed() -> None:
    """No handler catches every error and does nothing with it."""
    found = [
        f"{file}:{node.lineno}"
        for file, text in _texts(".py")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ExceptHandler)
        and isinstance(node.body[0], ast.Pass | ast.Continue)
        and (node.type is None or ast.unparse(node.type) in {"Exception", "BaseException"})
    ]
    assert found == []


def test_every_test_states_a_fact() -> None:
    """Every test has a docstring that says what it proves."""
    found = [
        f"{file}:{node.lineno}: {node.name}"
        for file, text in _texts(".py")
        if file.parts[0] == "tests"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert found == []


def _locked(name: str) -> dict[tuple[str, str], str]:
    """Return (name and version, marker) -> hashes of a lock."""
    lock = (PROJECT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    entries: dict[tuple[str, str], str] = {}
    for line in filter(None, lock.splitlines()):
        requirement, _, hashes = line.partition("--hash=")
        package, _, marker = requirement.partition(";")
        entries[package.strip(), marker.strip()] = hashes
    return entries


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_locks_have_versions_and_hashes(name: str) -> None:
    """Every package of a lock has one version and SHA-256 hashes, and the lock names no address."""
    entries = _locked(name)
    assert entries
    for (package, _), hashes in entries.items():
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+", package), package
        assert re.fullmatch(r"sha256:[0-9a-f]{64}( +--hash=sha256:[0-9a-f]{64})* *", hashes), package
    assert "://" not in (PROJECT / name).read_text(encoding="utf-8")


def test_the_locks_agree() -> None:
    """What is tested is what is shipped: the test lock has all of the other one, in the same versions.

    What is shipped for one platform only may be tested on all.
    """
    shipped, tested = _locked("requirements.lock"), _locked("requirements-dev.lock")
    found = {key: tested.get(key, tested.get((key[0], ""))) for key in shipped}
    assert found == shipped


def test_every_dependency_is_locked() -> None:
    """The locks have every package that the project file asks for."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[^\w.-]", one)[0].lower() for one in requirements}

    shipped = {package.partition("==")[0] for package, _ in _locked("requirements.lock")}
    tested = {package.partition("==")[0] for package, _ in _locked("requirements-dev.lock")}
    assert names(project["project"]["dependencies"]) | names(project["build-system"]["requires"]) <= shipped
    assert names(project["dependency-groups"]["dev"]) <= tested


def _targets() -> set[str]:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))


def test_the_readme_names_every_target() -> None:
    """Every target of the Makefile is in the README, and the README names no other."""
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert set(
        re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)\b", re.sub(r"(?s)```mermaid.*?```", "", readme))
    ) == _targets() - {"help"}


@pytest.mark.parametrize(
    "name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
)
def test_links_lead_somewhere(name: str) -> None:
    """Every relative link of a document leads to a file."""
    text = (PROJECT / name).read_text(encoding="utf-8")
    links = [link.split("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert [link for link in links if link and not (PROJECT / link).exists()] == []


def test_decisions_are_numbered() -> None:
    """The decision records are numbered without gaps, and have their four parts."""
    records = sorted((PROJECT / "docs" / "adr").glob("*.md"))
    assert [record.name[:4] for record in records] == [
        f"{number:04}" for number in range(1, len(records) + 1)
    ]
    for record in records:
        headings = re.findall(r"^## (\w+)$", record.read_text(encoding="utf-8"), re.MULTILINE)
        assert headings == ["Status", "Context", "Decision", "Consequences"], record.name
