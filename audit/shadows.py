"""Whether folders of the user's hide ours: Python takes the first `reports` on its path, whoever wrote it."""

from importlib.util import find_spec
from pathlib import Path

_ROOMS = ("probes", "reports")
"""The packages beside this one; where this one is hidden, none of its code runs."""


def shadow() -> str | None:
    """A sentence about a package of ours that Python would take from elsewhere; None where there is none."""
    ours = Path(__file__).resolve().parent.parent
    for room in _ROOMS:
        spec = find_spec(room)
        found = Path(spec.origin).resolve() if spec is not None and spec.origin is not None else None
        if found != ours / room / "__init__.py":
            where = found.parent if found is not None and found.name == "__init__.py" else found
            return f"{where}: hides finetune-audit's own package '{room}'; rename it, or start from another folder"
    return None
