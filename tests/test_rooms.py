"""The arrows between the rooms, and what each of them costs to import."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("audit", "probes", "reports")
MODELS = frozenset({"torch", "transformers", "opacus", "peft", "safetensors", "tokenizers", "datasets"})

MAY_IMPORT = {
    "probes": ("probes",),
    "reports": ("reports", "probes.results"),
    "audit": ("audit", "probes", "reports"),
}


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """Each module a file imports, and whether the import stands at the top of the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            yield node.module or "", id(node) in top
            yield from ((f"{node.module}.{alias.name}", id(node) in top) for alias in node.names)


def within(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_its_arrows_allow(room):
    for path in modules(room):
        ours = {module for module, _ in imported(path) if module.split(".")[0] in (*ROOMS, "tests", "configs")}
        allowed = MAY_IMPORT[room]
        parents = {a for one in allowed for a in (".".join(one.split(".")[:-1]),) if a}
        wrong = {m for m in ours if not any(within(m, one) for one in allowed) and m not in parents}
        assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"


def test_only_scorers_import_model_libraries_among_the_probes():
    for path in modules("probes"):
        found = {module for module, _ in imported(path) if module.split(".")[0] in MODELS}
        assert not found or path.parent.name == "scoring", f"{path.relative_to(ROOT)} imports {sorted(found)}"


def test_reports_import_no_model_library():
    for path in modules("reports"):
        assert not {module for module, _ in imported(path) if module.split(".")[0] in MODELS}


@pytest.mark.parametrize("room", ROOMS)
def test_package_files_hold_a_docstring_and_no_imports(room):
    for path in modules(room):
        if path.name == "__init__.py":
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert len(body) == 1, f"{path.relative_to(ROOT)} holds more than a docstring"
            assert isinstance(body[0], ast.Expr)


def loaded_by(*names: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after importing the names."""
    code = f"import sys, {', '.join(names)}; print(*{{m.split('.')[0] for m in sys.modules}})"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split()
    )


def test_importing_every_probe_and_all_statistics_loads_no_model_library():
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in modules("probes")
        if path.parent.name != "scoring" and path.name != "__init__.py"
    ]
    assert not loaded_by(*names) & MODELS


def test_importing_the_catalog_loads_neither_models_nor_data_frames():
    assert not loaded_by("probes.catalog") & {*MODELS, "fairlearn", "pandas", "sklearn", "matplotlib"}
