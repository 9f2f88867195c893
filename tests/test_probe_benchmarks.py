import hashlib
import io

import pytest

from probes import benchmarks
from probes.benchmarks import BENCHMARKS, Benchmark, benchmark_file, read_pairs
from probes.bias.minimal_pairs import MinimalPairs
from probes.protocol import Facts

HEADER = "sent_more,sent_less,stereo_antistereo,bias_type,anon_writer\n"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def published(monkeypatch) -> None:
    entry = Benchmark(
        address="https://example.org/small.csv",
        sha256=hashlib.sha256(b"right").hexdigest(),
        licence="CC0",
        source="none",
    )
    monkeypatch.setattr(benchmarks, "BENCHMARKS", {"small": entry})


def test_a_benchmark_is_fetched_once_and_then_read_from_the_cache(monkeypatch):
    published(monkeypatch)
    asked = []

    def opener(address):
        asked.append(address)
        return io.BytesIO(b"right")

    paths = {benchmark_file("small", opener=opener) for _ in range(3)}
    assert [path.read_bytes() for path in paths] == [b"right"]
    assert asked == ["https://example.org/small.csv"]


def test_bytes_that_are_not_those_published_are_refused_and_not_kept(monkeypatch):
    published(monkeypatch)
    with pytest.raises(ValueError, match="must have the SHA-256"):
        benchmark_file("small", opener=lambda address: io.BytesIO(b"wrong"))
    assert not list(benchmarks.cache_folder().rglob("*.csv"))


def test_a_cached_file_that_was_changed_is_refused(monkeypatch):
    published(monkeypatch)
    path = benchmark_file("small", opener=lambda address: io.BytesIO(b"right"))
    path.write_bytes(b"wrong")
    with pytest.raises(ValueError, match="delete it and fetch it again"):
        benchmark_file("small")


def test_a_path_is_itself(tmp_path):
    (tmp_path / "mine.csv").write_text(HEADER)
    assert benchmark_file(str(tmp_path / "mine.csv")) == tmp_path / "mine.csv"


def test_a_name_that_is_neither_says_what_there_is():
    with pytest.raises(ValueError, match="a path or one of crows_pairs; there is no 'crowspairs'"):
        benchmark_file("crowspairs")


def test_every_benchmark_names_a_commit_a_hash_and_a_licence():
    for benchmark in BENCHMARKS.values():
        assert len(benchmark.sha256) == 64
        assert benchmark.address.startswith("https://")
        assert benchmark.licence
        assert benchmark.source


def test_the_more_stereotyping_sentence_comes_first_in_both_directions(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text(HEADER + "more A,less A,stereo,age,w1\nmore B,less B,antistereo,religion,w2\n")
    pairs = read_pairs(path)
    assert pairs["text"].tolist() == ["more A", "more B"]
    assert pairs["text_pair"].tolist() == ["less A", "less B"]
    assert pairs["category"].tolist() == ["age", "religion"]
    assert pairs["cluster"].tolist() == ["w1", "w2"]


def test_without_writers_each_pair_is_its_own_cluster_and_tabs_do_as_well(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("\tsent_more\tsent_less\tbias_type\n0\ta, b\tc, d\tage\n1\te\tf\tage\n")
    pairs = read_pairs(path)
    assert pairs["text"].tolist() == ["a, b", "e"]
    assert len(set(pairs["cluster"])) == 2


def test_missing_columns_and_empty_sentences_are_refused(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("sent_more,sent_less\na,b\n")
    with pytest.raises(ValueError, match=r"pairs.csv: pairs need .*; missing \['bias_type'\]"):
        read_pairs(path)
    path.write_text(HEADER + "a,,stereo,age,w\n")
    with pytest.raises(ValueError, match="pair 0 has an empty one"):
        read_pairs(path)


def test_minimal_pairs_asks_the_pairs_of_its_file(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text(HEADER + "a,b,stereo,age,w\n")
    facts = Facts(arm="a", role="candidate", seed=0, head="masked", task="masked-lm")
    assert MinimalPairs(file=str(path)).needs(facts, {})["pairs"].on["text"].tolist() == ["a"]


@pytest.mark.shared
def test_the_published_file_is_the_one_whose_hash_stands_here(shared):
    path = shared / "data" / "bias" / "crows_pairs" / "crows_pairs_anonymized.csv"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == BENCHMARKS["crows_pairs"].sha256
    pairs = read_pairs(path)
    assert pairs.n == 1508
    assert len(set(pairs["cluster"])) == 77
