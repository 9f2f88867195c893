"""Names of people, places and groups in texts, found by Presidio where it is installed and asked for.

What has a form is found without it (`probes.privacy.personal`); names have none, and take a model of the language.
Nothing is fetched: the spaCy model must be installed, or lie in a folder.

Source: Presidio analyzer, https://microsoft.github.io/presidio/analyzer, "supported entities".
"""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from probes.privacy.personal import Found
from probes.results import NotApplicable

KINDS = {"PERSON": "name", "LOCATION": "place", "NRP": "nationality, religion or politics"}
"""What is looked for, by Presidio's name of it."""


def named(texts: Sequence[str], model: str) -> Iterator[list[Found]]:
    """The names in each text, each once.

    Args:
        texts: The texts.
        model: The name of an installed spaCy model, or the path of one.

    Raises:
        NotApplicable: Presidio or the model is not there.
    """
    analyzer, language = _analyzer(model)
    for text in texts:
        results = analyzer.analyze(text=text, language=language, entities=list(KINDS))
        found = {Found(KINDS[r.entity_type], text[r.start : r.end]): None for r in sorted(results, key=_place)}
        yield list(found)


def _place(result: Any) -> tuple[int, int]:
    return result.start, result.end


@cache
def _analyzer(model: str) -> tuple[Any, str]:
    """Presidio's engine on a spaCy model, and the model's language; both are loaded once."""
    try:
        import spacy
        from presidio_analyzer import AnalyzerEngine
        from presidio_analyzer.nlp_engine import NlpEngineProvider
    except ModuleNotFoundError as error:
        raise NotApplicable(f"{error.name} is not installed; install 'finetune-audit[pii]'") from None
    if not (spacy.util.is_package(model) or Path(model).is_dir()):  # Presidio would download it
        raise NotApplicable(f"there is no spaCy model {model!r}; install it, or give the path of one")
    language = spacy.load(model).lang
    models = [{"lang_code": language, "model_name": model}]
    engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    return AnalyzerEngine(nlp_engine=engine, supported_languages=[language]), language
