"""The house stands as the README says: imports point down, maths and figures stay where they belong."""

import ast
import functools
import re
import sys
from pathlib import Path

import pytest

from pages.shared.lessons import LESSONS

ROOT = Path(__file__).parents[1]
LAYERS = {"transformer", "charts", "pages", "study", "app"}
MAY_IMPORT = {
    "transformer": {"transformer"},
    "charts": {"charts", "transformer.names"},
    "study": {"study"},
    "pages": {"pages", "charts", "study", "transformer"},
}
# Lessons, what lies beside them, and the frame of all.
PAGE_FILES = [file for file in sorted((ROOT / "pages").rglob("*.py")) if file.name != "__init__.py"]
SHARED = ROOT / "pages" / "shared"


def files(layer: str) -> list[Path]:
    return sorted((ROOT / layer).rglob("*.py"))


@functools.cache
def imports(file: Path) -> list[str]:
    """Every module a file imports, as dotted names; `from a import b` counts as a.b and relative ones are resolved."""
    package = file.relative_to(ROOT).with_suffix("").parts[:-1]
    found = []
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):  # what only a type checker sees is not imported
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = list(package[:len(package) - node.level + 1]) if node.level else []
            base = ".".join(above + ([node.module] if node.module else []))
            found += [f"{base}.{alias.name}" for alias in node.names]
    return found


def is_in(module: str, allowed: set[str]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in allowed)


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_imports_point_down(layer):
    wrong = [f"{file.relative_to(ROOT)} imports {module}" for file in files(layer) for module in imports(file)
             if module.split(".")[0] in LAYERS and not is_in(module, MAY_IMPORT[layer])]
    assert not wrong, "\n".join(wrong)


def test_the_library_knows_no_app_and_no_charts():
    wrong = [f"{file.relative_to(ROOT)} imports {module}" for file in files("transformer") for module in imports(file)
             if module.split(".")[0] in {"streamlit", "plotly", "altair", "pandas", "matplotlib"}]
    assert not wrong, "\n".join(wrong)


def test_charts_hold_no_session_and_no_model():
    for file in files("charts"):
        modules = imports(file)
        assert not is_in("torch", set(modules)), f"{file.name} imports torch"
        source = file.read_text("utf-8")
        assert "session_state" not in source and "query_params" not in source, file.name
        assert "streamlit" not in {m.split(".")[0] for m in modules} or file.name == "component.py", (
            f"{file.name} imports streamlit; only component.py may, to declare components")


@pytest.mark.parametrize("layer", ["pages", "charts"])
def test_no_picture_is_drawn_from_a_random_generator(layer):
    for file in files(layer):
        assert not any("random" in module.split(".") for module in imports(file)), f"{file} imports random"
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"random", "randn", "rand", "default_rng", "manual_seed"}, (
                    f"{file.relative_to(ROOT)}:{node.lineno} uses .{node.attr}")


MATHS = {"softmax", "log_softmax", "matmul", "einsum", "exp", "dot", "log", "linalg"}
FIGURES = {"plotly", "altair", "matplotlib", "pydeck"}


@pytest.mark.parametrize("file", [f for f in PAGE_FILES if f.parent != SHARED], ids=lambda f: str(f.relative_to(ROOT)))
def test_a_page_is_words_and_controls(file):
    drawn = [module for module in imports(file) if module.split(".")[0] in FIGURES]
    assert not drawn, f"figures belong in charts/: {drawn}"
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.BinOp):
            assert not isinstance(node.op, ast.MatMult), f"line {node.lineno}: maths belongs in transformer/"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            constant = all(isinstance(argument, ast.Constant) for argument in node.args)  # np.log(2): nats to bits
            if isinstance(owner, ast.Name) and owner.id in {"np", "torch", "math", "F", "numpy"} and not constant:
                assert node.func.attr not in MATHS, f"line {node.lineno}: {node.func.attr} belongs in transformer/"


@pytest.mark.parametrize("layer", ["pages", "charts"])
def test_charts_do_no_model_maths(layer):
    for file in files(layer):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"softmax", "log_softmax", "einsum"}, f"{file}:{node.lineno} uses {node.attr}"


def test_the_library_names_no_device():
    """pick_device() in device.py is the one place that knows what devices there are; .cpu() on the way to a file is no
    choice of one."""
    named = re.compile(r"(cuda|mps|cpu)(:\d+)?")
    wrong = []
    for file in files("transformer"):
        if file.name == "device.py":
            continue
        tree = ast.parse(file.read_text("utf-8"))
        docs = {id(node.body[0].value) for node in ast.walk(tree)
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                if named.fullmatch(node.value):
                    wrong.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.value!r}")
            elif isinstance(node, ast.Attribute) and node.attr == "cuda":
                wrong.append(f"{file.relative_to(ROOT)}:{node.lineno} .cuda")
    assert not wrong, "\n".join(wrong)


def test_every_lesson_has_its_page_and_every_page_its_lesson():
    lessons = {ROOT / entry.file for entry in LESSONS}
    assert lessons <= set(PAGE_FILES)
    for file in set(PAGE_FILES) - lessons:
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        users = {other for other in (*PAGE_FILES, ROOT / "app.py") if any(is_in(m, {module}) for m in imports(other))}
        if file.parent == SHARED:
            assert len(users) > 1 or not users & lessons, f"{module} serves one lesson alone: it belongs beside it"
        else:
            assert users and {user.parent for user in users} == {file.parent}, f"{module} has no lesson beside it"
    assert len({entry.row for entry in LESSONS}) == len({entry.url_path for entry in LESSONS}) == len(LESSONS)


def test_the_readme_lists_the_lessons():
    """One list item a lesson, in the table's order: `- **A1** [Walkthrough](pages/inside/walkthrough.py) …`"""
    readme = (ROOT / "README.md").read_text("utf-8")
    listed = re.findall(r"^- \*\*([A-Z]\d+)\*\* \[([^\]]+)\]\((pages/[^)]+)\)", readme, flags=re.MULTILINE)
    assert listed == [(entry.row, entry.title, entry.file) for entry in LESSONS]


def test_what_is_imported_is_in_the_requirements():
    """A fresh install brings every package that the app and the library import (their standard library aside)."""
    required = {re.split(r"[=<>! ]", line)[0].lower().replace("-", "_")
                for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines() if line and line[0] != "#"}
    provided = {"vl_convert": "vl_convert_python"}
    # Imported where they are used: with one sentence where they are absent, or by a script that made what ships.
    optional = {"huggingface_hub", "certifi", "sklearn"}
    used = {module.split(".")[0] for layer in ("transformer", "charts", "pages") for file in files(layer)
            for module in imports(file)}
    missing = {name for name in used - LAYERS - optional - set(sys.stdlib_module_names)
               if name and provided.get(name, name) not in required}
    assert not missing, f"requirements.txt lacks {missing}"
