"""What can be told of a data file or a model's folder at a glance: columns and rows; whether and as what it loads."""

import csv
import itertools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUFFIXES = (".csv", ".jsonl", ".parquet")
"""How the names of data files end."""

MOST_ROWS = 1_000_000
"""Rows are counted up to here."""

_LINES_LOOKED_AT = 100
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")

ENCODERS = frozenset(
    {"albert", "bert", "camembert", "data2vec-text", "electra", "roberta", "xlm-roberta", "xlm-roberta-xl"}
)
"""Kinds of model that transformers gives a causal head although they look ahead unless configured as decoders."""

_OFFSET = frozenset({"camembert", "data2vec-text", "roberta", "xlm-roberta", "xlm-roberta-xl"})
"""Kinds of model whose positions are counted from behind the padding token's id."""


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


def rows_of(path: Path) -> int | None:
    """How many rows a data file has, those that cannot be used included.

    None where it has more than `MOST_ROWS`, and where it cannot be read, which `columns_of` says in words.
    """
    if path.suffix.lower() not in SUFFIXES:
        return None
    try:
        if path.suffix.lower() == ".parquet":
            from pyarrow import parquet

            return int(parquet.read_metadata(path).num_rows)
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            is_csv = path.suffix.lower() == ".csv"
            records = filter(None, csv.reader(file) if is_csv else map(str.strip, file))
            rows = sum(1 for _ in itertools.islice(records, MOST_ROWS + 1))
    except (OSError, ValueError, csv.Error):
        return None
    return rows - is_csv if rows <= MOST_ROWS else None


def why_not_a_model(folder: Path) -> str | None:
    """Why a folder cannot be loaded as a model without trusting its code; None where it can."""
    if not folder.is_dir():
        return "no such folder"
    if not (folder / "config.json").is_file():
        return "no config.json in it, so it is no model's folder"
    for name in ("config.json", "tokenizer_config.json"):
        if "auto_map" in _object_in(folder / name):
            return f"its {name} asks for code of its own (auto_map), which is never run"
    if any(folder.glob("*.safetensors")):
        return None
    pickled = sorted(file.name for pattern in _PICKLED for file in folder.glob(pattern))
    if pickled:
        return f"only pickled weights ({', '.join(pickled)}), which could run code"
    return "no weights (*.safetensors) in it"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a model's folder says of the model.

    Attributes:
        kind: Transformers' model type; empty where it states none.
        architectures: The classes that it was saved from; empty where it states none.
        context: Most tokens that it has positions for; None where it states none.
        layers: Number of its layers; None where it states none.
        classes: Names of the classes of a classification head, as transformers takes them where it states none.
        looks_ahead: Whether it sees the words that come after, and so is no causal model.
    """

    kind: str
    architectures: tuple[str, ...]
    context: int | None
    layers: int | None
    classes: tuple[str, ...]
    looks_ahead: bool

    @property
    def classifies(self) -> bool:
        """Whether it may have a head for classes: a folder that names no architecture may have any."""
        return not self.architectures or any(a.endswith("ForSequenceClassification") for a in self.architectures)


def checkpoint_of(folder: Path) -> Checkpoint:
    """What a model's folder says of the model, from its config.json alone."""
    config = _object_in(folder / "config.json")
    kind = str(config.get("model_type", ""))
    architectures = config.get("architectures")
    return Checkpoint(
        kind=kind,
        architectures=tuple(map(str, architectures)) if isinstance(architectures, list) else (),
        context=positions(config, kind),
        layers=_first_count(config, "num_hidden_layers", "n_layers", "n_layer", "num_layers"),
        classes=_classes(config),
        looks_ahead=kind in ENCODERS and config.get("is_decoder") is not True,
    )


def positions(config: Mapping[str, Any], kind: str) -> int | None:
    """The most tokens that a model has positions for; None where its config states no such number.

    Args:
        config: Its config.
        kind: Transformers' model type.
    """
    found = _first_count(config, "max_position_embeddings", "n_positions", "n_ctx")
    if found is None or kind not in _OFFSET:
        return found
    return found - int(config.get("pad_token_id") or 0) - 1


def _classes(config: dict[str, Any]) -> tuple[str, ...]:
    named = config.get("id2label")
    if isinstance(named, dict) and all(str(i) in named for i in range(len(named))):
        return tuple(str(named[str(i)]) for i in range(len(named)))
    return tuple(f"LABEL_{i}" for i in range(_first_count(config, "num_labels") or 2))


def _first_count(config: Mapping[str, Any], *names: str) -> int | None:
    """The first of some settings that is a whole number above zero."""
    values = (config.get(name) for name in names)
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0), None)


def why_other_classes(stated: Sequence[str], classes: Sequence[str]) -> str | None:
    """Why a head that states its classes cannot answer with the task's; None where it can.

    Args:
        stated: The head's classes; the names that transformers gives where none are stated may stand for any.
        classes: The task's, in their order.
    """
    unnamed = all(name == f"LABEL_{i}" for i, name in enumerate(stated))
    if len(stated) != len(classes):
        return f"its head has {len(stated)} classes, and the task has {len(classes)}: {', '.join(classes)}"
    if unnamed or tuple(stated) == tuple(classes):
        return None
    return f"its classes are {', '.join(stated)}, and the task's are {', '.join(classes)}"


def _object_in(path: Path) -> dict[str, Any]:
    return _object(path.read_text("utf-8", "replace")) if path.is_file() else {}


def _object(text: str) -> dict[str, Any]:
    """A JSON object; empty where it is none."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
