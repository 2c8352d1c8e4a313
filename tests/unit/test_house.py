"""The rules of the house: imports go down only, files stay short, every route is guarded or named as open."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from gateway.api.hooks import OPEN

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "gateway"
MODULES = sorted(PACKAGE.rglob("*.py"))

# From top to bottom; places on one line never import each other.
LAYERS = (
    {"server"},
    {"app"},
    {"api", "cli"},
    {"services", "schemas"},
    {"auth", "admission", "routing", "accounting", "cache"},
    {"policy"},
    {"providers", "stores"},
    {"telemetry"},
    {"config", "errors"},
    {"wire"},
    {"model", "wording", "concurrency", "draining", "process"},
)

ONLY_IN = {
    "flask": {"app", "api", "cli", "cache", "telemetry"},
    "flask_caching": {"cache"},
    "werkzeug": {"api"},
    "requests": {"providers/http", "providers/direct", "providers/plain"},
    "urllib3": {"providers/http", "providers/direct", "providers/connection"},
    "httptools": {"providers/direct"},
    "gunicorn": {"api/body", "server"},
    "lmdb": {"stores"},
    "psycopg": {"stores"},
    "redis": {"stores"},
    "sqlite3": {"stores"},
    "sqlalchemy": {"stores"},
    "alembic": {"stores"},
    "gevent": {"concurrency"},
    "apispec": {"config", "api/openapi"},
    "flask_swagger_ui": {"api/docs"},
    "marshmallow": {"config", "schemas", "providers/offline"},
}


def place(module: Path) -> str:
    """The module's path below the package, without its suffix: `providers/http`."""
    return module.relative_to(PACKAGE).with_suffix("").as_posix()


def imports(module: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(name: str) -> int:
    return next(index for index, places in enumerate(LAYERS) if name in places)


@pytest.mark.parametrize("module", MODULES, ids=place)
def test_a_module_imports_only_from_its_own_place_and_from_below(module: Path) -> None:
    own = place(module).split("/")[0]
    if own == "__init__":
        return
    for name in imports(module):
        parts = name.split(".")
        if parts[0] != "gateway" or parts[1] in (own, "__version__"):
            continue
        assert layer(parts[1]) > layer(own), f"{place(module)} imports {name}"


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_known_only_where_the_house_keeps_it(library: str) -> None:
    users = {place(module) for module in MODULES for name in imports(module) if name.split(".")[0] == library}
    allowed = ONLY_IN[library]
    assert users, f"nothing uses {library}: take it out of this table"
    assert {user for user in users if user not in allowed and user.split("/")[0] not in allowed} == set()


def test_the_environment_is_read_only_by_the_configuration() -> None:
    for module in MODULES:
        if place(module).startswith("config/") or place(module) in (
            "cli/service",
            "cli/stores",
        ):  # `gateway init` asks what is set already
            continue
        tree = ast.parse(module.read_text(encoding="utf-8"))
        written = {id(target.value) for node in ast.walk(tree) if isinstance(node, ast.Assign) for target in node.targets
                   if isinstance(target, ast.Subscript)}  # fmt: skip
        for node in ast.walk(tree):
            reads = isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and id(node) not in written
            assert not (reads and isinstance(node.value, ast.Name) and node.value.id == "os"), place(module)


@pytest.mark.parametrize(
    "module", [*MODULES, *sorted(ROOT.glob("bench/*.py")), *sorted(ROOT.glob("tests/**/*.py"))], ids=str
)
def test_no_file_is_longer_than_300_lines(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) <= 300


def test_the_spine_is_shorter_than_150_lines() -> None:
    assert len((PACKAGE / "services" / "inference.py").read_text(encoding="utf-8").splitlines()) < 150


def test_every_route_asks_for_a_key_unless_it_is_named_as_open(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    client = app.test_client()
    rules = list(app.url_map.iter_rules())
    assert {rule.endpoint for rule in rules} >= OPEN, "OPEN names a route that does not exist"
    for rule in rules:
        for method in rule.methods or ():
            status = client.open(rule.rule, method=method).status_code
            assert (status == 401) == (rule.endpoint not in OPEN), f"{method} {rule.rule} answered {status}"


@pytest.mark.parametrize(
    "code", [r"(?<![.\w])eval\(", r"(?<![.\w])exec\(", "pickle", "render_template_string", "subprocess", r"os\.system"]
)
def test_nothing_in_the_package_runs_code_from_data(code: str) -> None:
    users = [place(module) for module in MODULES if re.search(code, module.read_text(encoding="utf-8"))]
    assert users == []
