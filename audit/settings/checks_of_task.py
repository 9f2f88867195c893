"""Whether the task fits the data and the model: its classes, its decision, and the words by which it is answered."""

import string
from collections.abc import Collection, Iterator
from functools import partial

from audit.settings.checks import Check, below
from audit.settings.config import AuditConfig
from audit.settings.mistakes import Place, Wrong, did_you_mean, listed
from audit.settings.sections.models import WORLD, Threshold
from audit.world.language import CLASSES, PROMPT, vocabulary

_TASK: Place = ("task",)
_PROMPT, _WORDS = (*_TASK, "prompt"), (*_TASK, "label_words")
_CLASSES = ((*_TASK, "classes"), (*_TASK, "kind"), *below(("data",), ["label", "label_names", "world"]))


def checks_of_task(config: AuditConfig) -> Iterator[Check]:
    """The checks of the task section."""
    yield Check(_CLASSES, partial(_wrong_classes, config))
    yield Check((*_CLASSES, (*_TASK, "decision")), partial(_wrong_decision, config))
    yield Check((*_CLASSES, _PROMPT, _WORDS), partial(_wrong_words, config))
    yield Check((_PROMPT, _WORDS, ("data", "text_pair")), partial(_wrong_prompt, config))
    yield Check((_WORDS, ("model",)), partial(_unknown_to_the_world, config))


def classes_of(config: AuditConfig) -> list[str] | None:
    """The classes, where the config itself tells them."""
    if config.data.world is not None:
        return list(CLASSES)
    if config.task.classes is not None:
        return list(config.task.classes)
    names = config.data.label_names
    return sorted(set(names.values())) if names else None


def no_class(name: str, classes: Collection[str]) -> tuple[str, str]:
    """The rule that a name breaks which is no class's, and what to do."""
    return f"no such class; got '{name}'", did_you_mean(name, classes) or f"there are {listed(classes)}"


def _wrong_classes(config: AuditConfig) -> Iterator[Wrong]:
    named, place = config.task.classes, (*_TASK, "classes")
    if config.kind == "text-classification" and config.data.world is None and config.data.label is None:
        yield Wrong(("data", "label"), "is required for text-classification", "name the column of the label")
    if named is None:
        return
    if config.kind != "text-classification":
        yield Wrong(place, *_for_classification(config))
    elif len(set(named)) < len(named) or len(named) < 2:
        yield Wrong(place, f"must be two or more different names; got {', '.join(named) or 'none'}")
    elif config.data.world is not None and named != CLASSES:
        yield Wrong(place, f"the embedded world's are {', '.join(CLASSES)}; got {', '.join(named)}", "leave it out")


def _for_classification(config: AuditConfig) -> tuple[str, str]:
    return f"is for text-classification, and this is {config.kind}", "set task.kind or leave it out"


def _wrong_decision(config: AuditConfig) -> Iterator[Wrong]:
    rule, classes, place = config.task.decision, classes_of(config), (*_TASK, "decision", "class")
    if not isinstance(rule, Threshold):
        return
    if config.kind != "text-classification":
        yield Wrong(place, f"is for text-classification, and this is {config.kind}", "leave decision out")
    elif classes is not None and rule.class_name not in classes:
        yield Wrong(place, *no_class(rule.class_name, classes))


def _wrong_words(config: AuditConfig) -> Iterator[Wrong]:
    """The words by which a causal model classifies."""
    words, classes = config.task.label_words, classes_of(config)
    if words is None:
        if config.task.prompt is not None:
            yield Wrong(_PROMPT, "is for a model that classifies by a word", "add label_words or leave it out")
        return
    if config.kind != "text-classification":
        yield Wrong(
            _WORDS, f"are for text-classification, and this is {config.kind}", "set task.kind or leave them out"
        )
    if len(set(words.values())) < len(words):
        yield Wrong(_WORDS, f"must differ from class to class; got {listed(words.values())}")
    for name, word in words.items():
        if not word.strip() or word != word.strip():
            yield Wrong((*_WORDS, name), f"must be a word without spaces around it; got '{word}'")
    if classes is not None:
        for name in sorted(set(words) - set(classes)):
            yield Wrong((*_WORDS, name), *no_class(name, classes))
        missing = set(classes) - set(words)
        if missing:
            yield Wrong(_WORDS, f"must have a word for each class; missing {listed(missing)}")


def _wrong_prompt(config: AuditConfig) -> Iterator[Wrong]:
    """The text around, in which the word is what comes next."""
    prompt, paired = config.task.prompt, config.data.text_pair is not None
    wanted = "{text} and {text_pair}" if paired else "{text}"
    if prompt is None:
        if config.task.label_words is not None:
            rule = f"is required with label_words: it must have {wanted} and end in words that they follow"
            yield Wrong(_PROMPT, rule, f"write prompt: such as '{wanted.replace(' and ', ' / ')} {_last_word()}'")
        return
    try:
        parts = list(string.Formatter().parse(prompt))
    except ValueError:
        yield Wrong(_PROMPT, f"has a brace without its other; got '{prompt}'", "write {{ and }} for braces of the text")
        return
    fields = {name for _, name, _, _ in parts if name is not None}
    is_plain = all(not form and conversion is None for _, name, form, conversion in parts if name is not None)
    if not is_plain or fields != ({"text", "text_pair"} if paired else {"text"}):
        rule = f"must have {wanted} where the text goes" + ("" if paired else ", and no other name in braces")
        yield Wrong(_PROMPT, f"{rule}; got '{prompt}'")
        return
    end = parts[-1][0] if parts[-1][1] is None else ""
    if not end.strip() or end != end.rstrip():
        rule = f"must end in words of its own and not in a space, for the class's word follows; got '{prompt}'"
        yield Wrong(_PROMPT, rule, f"write it such as '{prompt.rstrip()} {_last_word()}'" if not end.strip() else "")


def _last_word() -> str:
    return PROMPT.rpartition(" ")[2]


def _unknown_to_the_world(config: AuditConfig) -> Iterator[Wrong]:
    """Label words that the embedded model does not know; of other models only the tokenizer can tell."""
    if config.model.name == WORLD and config.task.label_words:
        known = set(vocabulary())
        for name, word in config.task.label_words.items():
            strange = [part for part in word.lower().split() if part not in known]
            if strange:
                rule = f"the embedded world has no word '{strange[0]}'"
                yield Wrong((*_WORDS, name), rule, f"'{name}' itself will do" if name in known else "")
