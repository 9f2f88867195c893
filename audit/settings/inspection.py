"""What can be told of a data file or a model's folder at a glance: its columns; whether it could be loaded safely."""

import csv
import json
from collections.abc import Collection, Sequence
from pathlib import Path

SUFFIXES = (".csv", ".jsonl", ".parquet")
"""How the names of data files end."""

_LINES_LOOKED_AT = 100
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


def columns_of(path: Path, wanted: Collection[str] = ()) -> Sequence[str]:
    """The columns of a data file, from its header.

    Args:
        path: The file. JSONL has no header: its columns are those of its first hundred rows.
        wanted: Columns that are looked for in all rows of JSONL if need be.

    Raises:
        ValueError: It is no such file, or cannot be read as what its name says.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise ValueError("is a folder, not a file" if path.is_dir() else "no such file")
    if suffix not in SUFFIXES:
        raise ValueError(f"must end with {', '.join(SUFFIXES)}")
    try:
        return (
            _of_jsonl(path, wanted) if suffix == ".jsonl" else {".csv": _of_csv, ".parquet": _of_parquet}[suffix](path)
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"must be UTF-8 text; got the byte 0x{error.object[error.start]:02x}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot be read as {suffix[1:].upper()} ({str(error).partition(chr(10))[0]})") from None


def _of_csv(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = next(csv.reader(file), None)
    if not header:
        raise ValueError("it is empty")
    return header


def _of_jsonl(path: Path, wanted: Collection[str]) -> list[str]:
    columns: dict[str, None] = {}
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            columns |= dict.fromkeys(_object(line))
            if number >= _LINES_LOOKED_AT and columns.keys() >= set(wanted):
                break
    if not columns:
        raise ValueError("no line of it is a JSON object")
    return list(columns)


def _of_parquet(path: Path) -> list[str]:
    from pyarrow import parquet

    return list(parquet.read_schema(path).names)


def why_not_a_model(folder: Path) -> str | None:
    """Why a folder cannot be loaded as a model without trusting its code; None where it can."""
    if not folder.is_dir():
        return "no such folder"
    if not (folder / "config.json").is_file():
        return "no config.json in it, so it is no model's folder"
    for name in ("config.json", "tokenizer_config.json"):
        if (folder / name).is_file() and "auto_map" in _object((folder / name).read_text("utf-8", "replace")):
            return f"its {name} asks for code of its own (auto_map), which is never run"
    if any(folder.glob("*.safetensors")):
        return None
    pickled = sorted(file.name for pattern in _PICKLED for file in folder.glob(pattern))
    if pickled:
        return f"only pickled weights ({', '.join(pickled)}), which could run code"
    return "no weights (*.safetensors) in it"


def _object(text: str) -> dict[str, object]:
    """A JSON object; empty where it is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
