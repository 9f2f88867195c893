"""Published benchmarks that come from elsewhere: fetched once by address and SHA-256, or given by path; never shipped.

Their content is licensed by others and often offensive, so it lies in the user's cache and not in this package.
"""

import csv
import hashlib
import os
import tempfile
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from probes.protocol import Items


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One file at one commit.

    Attributes:
        address: Where it is published.
        sha256: Hash of its bytes; another file is refused.
        licence: Under what terms.
        source: Who made it, and where it is described.
    """

    address: str
    sha256: str
    licence: str
    source: str


BENCHMARKS: Mapping[str, Benchmark] = {
    "crows_pairs": Benchmark(
        address="https://raw.githubusercontent.com/nyu-mll/crows-pairs/"
        "8aaac11c485473159ec9328a65253a5be9a479dc/data/crows_pairs_anonymized.csv",
        sha256="dfb36986ce0502abbaf7055b9176da3d08d48e07df1251991b5dfbcbceab9d0c",
        licence="CC BY-SA 4.0",
        source="Nangia et al. (2020), https://arxiv.org/abs/2010.00133",
    ),
}

Open = Callable[[str], BinaryIO]


def cache_folder() -> Path:
    """Where fetched files lie: `finetune-audit/benchmarks` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "finetune-audit" / "benchmarks"


def benchmark_file(name: str, *, opener: Open = urllib.request.urlopen) -> Path:
    """The file of a benchmark or of a path: a benchmark is fetched if it is not in the cache, and always verified.

    Args:
        name: A name in `BENCHMARKS`, or the path of a file.
        opener: Opens an address for reading.

    Raises:
        ValueError: Neither a benchmark nor a file, or its bytes are not those it should have.
        OSError: It cannot be fetched.
    """
    if name not in BENCHMARKS:
        if not Path(name).is_file():
            raise ValueError(f"file must be a path or one of {', '.join(sorted(BENCHMARKS))}; there is no {name!r}")
        return Path(name)
    benchmark = BENCHMARKS[name]
    path = cache_folder() / benchmark.sha256 / Path(benchmark.address).name
    if path.is_file():
        _verify(path.read_bytes(), benchmark, str(path))
    else:
        with opener(benchmark.address) as response:
            content = response.read()
        _verify(content, benchmark, benchmark.address)
        _write(path, content)
    return path


def _verify(content: bytes, benchmark: Benchmark, where: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != benchmark.sha256:
        raise ValueError(f"{where} must have the SHA-256 {benchmark.sha256}; got {found}; delete it and fetch it again")


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, whoever else writes it at the same time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
        part.write(content)
    Path(part.name).replace(path)


def read_pairs(path: Path) -> Items:
    """Sentence pairs in the format of CrowS-Pairs, as items.

    `text` is the sentence of `sent_more`, the more stereotyping one whichever way `stereo_antistereo` points: that
    column only says whether the disadvantaged group is in it. The column `category` is `bias_type`. The cluster is
    the writer (`anon_writer`) where the file names one, else the pair itself.

    Args:
        path: A CSV file, or a tab-separated one, with the columns sent_more, sent_less and bias_type.

    Raises:
        ValueError: A column is missing, or a sentence is empty.
    """
    with path.open(encoding="utf-8", newline="") as file:
        header = file.readline()
        file.seek(0)
        rows = list(csv.DictReader(file, delimiter="\t" if "\t" in header else ","))
    missing = {"sent_more", "sent_less", "bias_type"} - set(rows[0] if rows else {})
    if missing:
        raise ValueError(f"{path.name}: pairs need sent_more, sent_less, bias_type; missing {sorted(missing)}")
    for i, row in enumerate(rows):
        if not (row["sent_more"] and row["sent_less"]):
            raise ValueError(f"{path.name}: both sentences must be there; pair {i} has an empty one")
    return Items(
        {
            "item_id": [f"{path.stem}:{i:05d}" for i in range(len(rows))],
            "cluster": [row.get("anon_writer") or f"pair {i}" for i, row in enumerate(rows)],
            "category": [row["bias_type"] for row in rows],
            "text": [row["sent_more"] for row in rows],
            "text_pair": [row["sent_less"] for row in rows],
        }
    )
