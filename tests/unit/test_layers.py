# Copyright: (c) 2026, the tradeops.runbook contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers look one way, and no file or function outgrows the house (see docs/architecture.md).

A function that breaks a limit on purpose says why in its signature: ``# house: <reason>``.
"""
from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
FILES = sorted(PLUGINS.rglob("*.py"))
PACKAGE = "ansible_collections.tradeops.runbook.plugins"

FUNCTION_LINES, PARAMETERS, FILE_LINES, MODULE_LINES = 40, 4, 300, 250
EXCEPTION = re.compile(r"# house: \S")

# Nothing with a clock, a disk, a network, an environment or a random number in it. zoneinfo reads the rules of time zones:
# a table that came with the machine, the same for everybody who asks.
PURE = {
    "__future__", "abc", "array", "base64", "binascii", "bisect", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal", "difflib", "enum",
    "fnmatch", "fractions", "functools", "hashlib", "heapq", "hmac", "html", "ipaddress", "itertools", "json", "math", "numbers", "operator",
    "re", "statistics", "string", "textwrap", "types", "typing", "unicodedata", "urllib.parse", "zlib", "zoneinfo",
}  # fmt: skip
PURE_OF_SYS = {"float_info", "maxsize"}
IMPURE_NAMES = {"open", "input", "print", "exec", "eval", "compile", "__import__", "breakpoint"}
CLOCKS = {"now", "utcnow", "today"}

REGISTRIES = ("kinds.py", "backup_kinds.py", "backup_versions.py", "host_state.py")

CONTROLLER = ("callback", "action", "lookup", "filter", "plugin_utils")


@dataclass(frozen=True)
class Import:
    """One imported module, with its full name inside the collection made relative to ``plugins``: ``_core.errors``, ``plugin_utils.history``."""

    line: int
    module: str
    own: bool
    relative: bool
    guarded: bool
    in_function: bool

    @property
    def top(self) -> str:
        return self.module.split(".")[0]

    @property
    def third_party(self) -> bool:
        return not self.own and self.top != "ansible" and self.top not in sys.stdlib_module_names


def layer_of(path: Path) -> str:
    parts = path.relative_to(PLUGINS).parts
    return parts[1] if parts[0] == "module_utils" and len(parts) > 2 else parts[0]


def imports_of(path: Path) -> list[Import]:
    return list(_walk(ast.parse(path.read_text(encoding="utf-8")), path, False, False))


def _walk(node: ast.AST, path: Path, in_function: bool, guarded: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            for module, own, relative in _named(child, path):
                yield Import(child.lineno, module, own, relative, guarded or in_function, in_function)
        elif not _is_type_checking(child):
            inside = in_function or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
            yield from _walk(child, path, inside, guarded or isinstance(child, ast.Try))


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _named(node: ast.Import | ast.ImportFrom, path: Path) -> Iterator[tuple[str, bool, bool]]:
    """(module, whether it is ours, whether the import is relative). ``from . import a`` names the module ``a``."""
    simple = isinstance(node, ast.Import)
    bases = [(alias.name, "") if simple else (getattr(node, "module", None) or "", alias.name) for alias in node.names]
    for base, name in bases:
        level = node.level if isinstance(node, ast.ImportFrom) else 0
        if level:
            folder = path.parents[level - 1].relative_to(PLUGINS).parts
            base = ".".join([PACKAGE, *folder, *([base] if base else [])])
        if base != PACKAGE and not base.startswith(PACKAGE + "."):
            yield base, False, False
            continue
        inside = base[len(PACKAGE) + 1 :].removeprefix("module_utils.")
        if name and (PLUGINS / base[len(PACKAGE) + 1 :].replace(".", "/") / f"{name}.py").exists():
            inside += f".{name}"
        yield inside, True, bool(level)


def violations(layer: str, path: Path) -> Iterator[str]:
    """Every import of the file that its layer may not have."""
    for found in imports_of(path):
        reason = _own(layer, path, found) if found.own else _foreign(layer, found)
        if reason:
            yield f"{path.relative_to(PLUGINS)}:{found.line}: {found.module}: {reason}"


def _own(layer: str, path: Path, found: Import) -> str:
    if found.relative != path.is_relative_to(PLUGINS / "module_utils") and layer != "plugin_utils":
        return "imports are relative inside module_utils, and by full name elsewhere"
    helper = found.module.startswith("_drivers._")
    allowed = {
        "_core": {"_core"},
        "_drivers": {"_core"} | ({"_drivers"} if helper else set()),
        "_module": {"_core", "_module"} | ({"_drivers"} if path.name in REGISTRIES and found.in_function and not helper else set()),
        "modules": {"_core", "_module"},
        "doc_fragments": {"doc_fragments"},
        **{name: {"_core", "plugin_utils"} for name in CONTROLLER},
    }[layer]
    return "" if found.top in allowed else f"{layer} may import only {', '.join(sorted(allowed)) or 'nothing'} of ours"


def _foreign(layer: str, found: Import) -> str:
    if layer == "_core":
        return "" if found.module in PURE or found.top in PURE - {"urllib"} or found.module == "sys" else "the core is pure"
    if found.top == "ansible":
        allowed = {
            "_drivers": ("ansible.module_utils.common.text",),
            "_module": ("ansible.module_utils",),
            "modules": ("ansible.module_utils.basic",),
            **{name: ("ansible",) for name in CONTROLLER},
        }.get(layer, ())
        fits = found.module.startswith(tuple(allowed)) if allowed else False
        wrong = layer in CONTROLLER and found.module.startswith("ansible.module_utils")
        return "" if fits and not wrong else f"{layer} may not import this part of Ansible"
    if found.module in ("importlib", "imp", "pkgutil") and layer in ("_drivers", "_module", "modules"):
        return "only literal imports are shipped to the target"
    if not found.third_party:
        return ""
    if layer in ("_module", "modules", "doc_fragments"):
        return "no third party here"
    guarded = found.in_function if layer == "_drivers" else found.guarded
    return "" if guarded else "third party is guarded, inside the function that needs it"


@pytest.fixture(params=FILES, ids=lambda path: str(path.relative_to(PLUGINS)))
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(tree: ast.Module, path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Those that do not say in their signature why they are an exception."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            signature = lines[node.lineno - 1 : max(node.lineno, node.body[0].lineno - 1)]
            if not any(EXCEPTION.search(line) for line in signature):
                yield node


def test_imports_follow_the_layers(path: Path) -> None:
    assert list(violations(layer_of(path), path)) == []


def test_the_core_is_pure(path: Path, tree: ast.Module) -> None:
    if layer_of(path) != "_core":
        return
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in IMPURE_NAMES:
            found.append(f"{node.lineno}: {node.id}")
        if isinstance(node, ast.Attribute):
            of = ast.unparse(node.value)
            if (of in ("datetime", "date", "datetime.datetime") and node.attr in CLOCKS) or (of == "sys" and node.attr not in PURE_OF_SYS):
                found.append(f"{node.lineno}: {of}.{node.attr}")
    assert found == []


def test_only_glue_ends_a_module(path: Path, tree: ast.Module) -> None:
    ends = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & {"exit_json", "fail_json"}
    assert layer_of(path) == "_module" or not ends


def test_functions_are_short(path: Path, tree: ast.Module) -> None:
    long = {node.name: node.end_lineno - node.lineno + 1 for node in functions(tree, path) if node.end_lineno}
    assert {name: lines for name, lines in long.items() if lines > FUNCTION_LINES} == {}


def test_functions_have_few_parameters(path: Path, tree: ast.Module) -> None:
    many = {}
    for node in functions(tree, path):
        names = [item.arg for item in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        count = len(names) - (names[:1] in (["self"], ["cls"]))
        if count > PARAMETERS:
            many[node.name] = count
    assert many == {}


def test_files_are_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= (MODULE_LINES if layer_of(path) == "modules" else FILE_LINES)


@pytest.mark.parametrize(
    ("place", "source", "allowed"),
    [
        ("module_utils/_core/x.py", "import os", False),
        ("module_utils/_core/x.py", "import urllib.request", False),
        ("module_utils/_core/x.py", "from urllib.parse import quote", True),
        ("module_utils/_core/x.py", "def f():\n    import socket", False),
        ("module_utils/_core/x.py", "from .errors import RunbookError", True),
        ("module_utils/_core/x.py", "from .._drivers import tcp", False),
        ("module_utils/_drivers/x.py", "import os\nfrom .._core.errors import Busy", True),
        ("module_utils/_drivers/x.py", "from ._connect import connect", True),
        ("module_utils/_drivers/x.py", "from . import _connect", True),
        ("module_utils/_drivers/x.py", "from . import tcp", False),
        ("module_utils/_drivers/x.py", "from .tcp import measure", False),
        ("module_utils/_drivers/x.py", "from .._module.kinds import KINDS", False),
        ("module_utils/_drivers/x.py", "import yaml", False),
        ("module_utils/_drivers/x.py", "try:\n    import yaml\nexcept ImportError:\n    pass", False),
        ("module_utils/_drivers/x.py", "def f():\n    import yaml", True),
        ("module_utils/_drivers/x.py", "from ansible.module_utils.basic import AnsibleModule", False),
        ("module_utils/_drivers/x.py", "import importlib", False),
        ("module_utils/_drivers/x.py", f"from {PACKAGE}.module_utils._core.errors import Busy", False),
        ("module_utils/_module/kinds.py", "def f():\n    from .._drivers import tcp", True),
        ("module_utils/_module/kinds.py", "from .._drivers import tcp", False),
        ("module_utils/_module/x.py", "def f():\n    from .._drivers import tcp", False),
        ("module_utils/_module/x.py", "from ansible.module_utils.basic import AnsibleModule", True),
        ("modules/x.py", f"from {PACKAGE}.module_utils._module.kinds import KINDS", True),
        ("modules/x.py", f"from {PACKAGE}.module_utils._drivers import tcp", False),
        ("modules/x.py", "from ..module_utils._module.kinds import KINDS", False),
        ("modules/x.py", "def f():\n    import yaml", False),
        ("filter/x.py", f"from {PACKAGE}.module_utils._core.limits import parse_limits", True),
        ("filter/x.py", f"from {PACKAGE}.plugin_utils.history import History", True),
        ("filter/x.py", f"from {PACKAGE}.module_utils._module.kinds import KINDS", False),
        ("filter/x.py", f"from {PACKAGE}.module_utils import _drivers", False),
        ("filter/x.py", "from ansible.errors import AnsibleFilterError", True),
        ("filter/x.py", "import yaml", False),
        ("filter/x.py", "try:\n    import yaml\nexcept ImportError:\n    yaml = None", True),
        ("plugin_utils/x.py", "from .history import History", True),
        ("plugin_utils/x.py", f"from {PACKAGE}.module_utils._drivers.tcp import measure", False),
        ("doc_fragments/x.py", "import yaml", False),
    ],
)
def test_the_rules_themselves(place: str, source: str, allowed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "PLUGINS", tmp_path)
    for module in ("module_utils/_drivers/tcp", "module_utils/_drivers/_connect", "module_utils/_core/errors"):
        (tmp_path / module).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{module}.py").touch()
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source, encoding="utf-8")
    assert (list(violations(layer_of(file), file)) == []) is allowed
