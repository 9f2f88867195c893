"""The tokenizer of a model: a folder's, or that of a name on the hub at its commit; no code from elsewhere is run."""

from pathlib import Path
from typing import Any

from audit.settings.sections.models import Model


def load_tokenizer(model: Model) -> Any:
    """A model's tokenizer.

    Raises:
        OSError, ValueError, KeyError, RuntimeError, ImportError: As transformers does where it cannot be loaded.
    """
    from transformers import AutoTokenizer  # brings what reading a config need not load

    name = model.tokenizer or model.name
    return AutoTokenizer.from_pretrained(name, trust_remote_code=False, revision=revision_of(model))


def revision_of(model: Model) -> str | None:
    """The commit that a model on the hub is loaded at; a folder has none."""
    return None if Path(model.name).is_dir() else model.revision
