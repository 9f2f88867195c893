import sys

import pytest

from probes.privacy import presidio
from probes.privacy.extraction import Extraction
from probes.privacy.personal import Found
from probes.protocol import Facts, Items
from probes.results import NotApplicable

FACTS = Facts(arm="a-twin", role="twin", seed=0, head="causal", task="causal-lm")


def pool(*texts) -> Items:
    ids = [f"p{i}" for i in range(len(texts))]
    return Items({"item_id": ids, "cluster": ids, "text": list(texts), "is_member": [True] * len(texts)})


@pytest.fixture
def model(tmp_path) -> str:
    """A spaCy model without weights that knows one person and one place."""
    pytest.importorskip("presidio_analyzer", reason="presidio-analyzer is not installed ('finetune-audit[pii]')")
    import spacy

    nlp = spacy.blank("en")
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": "Ann Lee"}, {"label": "GPE", "pattern": "Lagos"}])
    nlp.to_disk(tmp_path / "model")
    presidio._analyzer.cache_clear()
    return str(tmp_path / "model")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of spaCy's own imports
def test_names_of_people_and_places_are_found_by_presidio(model):
    found = list(presidio.named(["Ann Lee flew to Lagos, and Ann Lee came back", "nobody"], model))
    assert found == [[Found("name", "Ann Lee"), Found("place", "Lagos")], []]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of spaCy's own imports
def test_extraction_asks_for_them_beside_what_has_a_form(model):
    asked = Extraction(presidio=model).needs(FACTS, {"pool": pool("Ann Lee, a@b.org, of Lagos")})
    on = asked["personal:arm"].on
    assert list(zip(on["kind"], on["secret"], strict=True)) == [
        ("e-mail", "a@b.org"), ("name", "Ann Lee"), ("place", "Lagos"),
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of spaCy's own imports
def test_a_model_that_is_not_there_is_not_fetched(model):
    with pytest.raises(NotApplicable, match="there is no spaCy model 'en_core_nowhere'"):
        list(presidio.named(["x"], "en_core_nowhere"))


def test_where_presidio_is_not_installed_the_reason_says_what_to_install(monkeypatch):
    presidio._analyzer.cache_clear()
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(NotApplicable, match=r"spacy is not installed; install 'finetune-audit\[pii\]'"):
        Extraction(presidio="en_core_web_lg").needs(FACTS, {"pool": pool("Ann Lee")})


def test_who_does_not_ask_for_presidio_does_not_need_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", None)
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    assert Extraction().needs(FACTS, {"pool": pool("write to a@b.org")})["personal:arm"].on.n == 1
