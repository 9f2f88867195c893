"""The sections of the model and of the task it is for."""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from audit.settings.sections.strict import Name, Names, Positive, Share, Strict, by_shape

WORLD = "world"
"""Name of the embedded tiny model."""


Head = Literal["classifier", "causal", "masked"]
"""What a model answers with."""


class Pretraining(Strict):
    """How the tiny model of the embedded world is made from scratch."""

    texts: Positive = 10_000
    """Number of texts it is pre-trained on."""
    epochs: Positive = 3
    """Passes over them."""
    learning_rate: Annotated[float, Field(gt=0)] = 3e-3
    """Peak learning rate (AdamW)."""
    batch_size: Positive = 32
    """Texts in a step."""


class Model(Strict):
    """The model that is fine-tuned: a hub name, a folder, or the embedded world's own."""

    name: str
    """Hub name ("distilbert/distilbert-base-uncased"), a folder, or "world" for the embedded tiny model."""
    revision: str | None = None
    """Commit hash on the hub; where silent, the newest when a run first asks for it, and the same in later runs beside
    it. A branch name is refused, for it may move."""
    tokenizer: str | None = None
    """Folder of the tokenizer, where it is not the model's own."""
    max_length: Annotated[int, Field(ge=4)] | None = None
    """Longest text in tokens; where silent, the model's context up to 512. Longer texts are cut and counted."""
    pretraining: Pretraining | None = None
    """For "world" only: how its tiny model is made."""


_PINNED = re.compile(r"(?P<name>\w[\w.-]*(?:/[\w.-]+)?)@(?P<revision>[^@]*)")


def model_by_name(value: Any) -> Any:
    """The model section that a mere name stands for: "name", or "name@commit" for a model on the hub."""
    if not isinstance(value, str):
        return value
    pinned = _PINNED.fullmatch(value)
    return pinned.groupdict() if pinned else {"name": value}


class Threshold(Strict):
    """Decide for one class from a probability on."""

    class_name: Name = Field(alias="class")
    """The class the threshold is about."""
    threshold: Share
    """The probability from which it is decided."""


Decision = Annotated[
    Annotated[Literal["argmax"], Tag("=text")] | Annotated[Threshold, Tag("=mapping")],
    by_shape("must be argmax, or a mapping with class and threshold"),
]


class Task(Strict):
    """What the model is for."""

    kind: Literal["text-classification", "causal-lm", "masked-lm"] | None = None
    """Where silent: text-classification if the data name a label, else causal-lm."""
    classes: Names | None = None
    """Names of the classes in the order of the logits; where silent, the labels found, sorted."""
    decision: Decision = "argmax"
    """How class scores become a decision: the most likely class, or a threshold on one."""
    prompt: str | None = None
    """For a causal model that classifies by a word: the text around, such as "{text} verdict"."""
    label_words: dict[Name, str] | None = None
    """For a causal model that classifies by a word: class name to word."""
