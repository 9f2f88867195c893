"""A first config file to fill in, with a comment on what each part is for."""

import os
from pathlib import Path
from typing import Literal

from audit.refusal import Refused
from audit.settings.reading import configs_folder

TaskKind = Literal["text-classification", "causal-lm", "masked-lm"]

_DISTILBERT = ("distilbert/distilbert-base-uncased", "12040accade4e8a0f71eabdb258fecc2e7e948be")
_MODELS = {
    "text-classification": _DISTILBERT,
    "causal-lm": ("openai-community/gpt2", "607a30d783dfa663caf39e06633721c8d4cfcd7e"),
    "masked-lm": _DISTILBERT,
}

_TOP = """\
# yaml-language-server: $schema={schema}
#
# What to audit. Relative paths start from this file's folder; ${{NAME}} in a path is an environment variable.
# Where a setting is left out, the default holds that your editor shows for it. When this is filled in:
#
#   audit validate {file}    names every mistake at once
#   audit plan {file}        says what will be done, how long it takes, and which gates can pass at all
#   audit run {file}         does it
title: {title}

model:
  name: {model} # on the hub, or a folder
  revision: {revision} # a commit, for a branch may move; none for a folder
  # max_length: 128 # longest text in tokens

task:
  kind: {kind}
"""

_CLASSES = """\
  # classes: [negative, positive] # in the order of the model's answers; else the labels found, sorted
  # decision: {class: positive, threshold: 0.5} # else the most likely class
"""

_DATA = """\

data:
  file: data.csv # CSV, JSONL or Parquet
  text: text # its column of texts
"""

_LABELS = """\
  label: label # its column of labels
  # label_names: {"0": negative, "1": positive} # the file's labels and the classes' names
  # groups: [gender, age_band] # columns of protected attributes: without them, disparities are not measured
"""

_MORE_DATA = """\
  # id: row_id # column of an identifier; stored salted
  # person: customer # column of the person: its rows stay together, and differential privacy protects all of them
  # validation: 0.1 # a share, or {file: …}; never trained on
  # test: 0.2 # likewise
  # bad_rows: skip # leave rows out that cannot be used, and count them; else they are refused
  # domains: # other domains, tested on and never trained on
  #   tweets: {file: tweets.csv}
"""

_TRAINING = """\

training:
  epochs: 3
  batch_size: 32
  learning_rate: 5e-5
  # strategy: lora # or full, head, {frozen: 4}

arms: # the models to compare
  base: {} # untouched
  standard: {} # trained as above
  dp: # the same with differential privacy
    privacy: {epsilon: 8}
    training: {batch_size: 256, learning_rate: 5e-4} # noise asks for large batches and large steps
  # delivered: {given: folder} # trained elsewhere

deploy: dp # the arm that the gates judge

# compute: {device: cuda} # on a machine with a GPU; the processor otherwise
"""

_POLICY = """\
gates: # a policy to start from; copy it, set your own limits, name in it who answers for them, and give its path here
  policy: predeployment
  reference: standard # the arm to compare with
"""

_GATES = """\

# gates: # conditions, declared before anything is measured
#   name: my policy
#   version: 1
#   owner: who answers for it
#   gates:
#     - id: membership
#       kind: bound
#       metric: membership.auc[attack=loss]
#       max: 0.60
#       source: why this limit
"""


def starter(task: TaskKind, path: Path) -> None:
    """Write a first config file for a task.

    Args:
        task: What the model is for.
        path: Where to write it.

    Raises:
        Refused: There is a file already, or no such folder.
    """
    model, revision = _MODELS[task]
    title = path.stem.replace("_", " ")
    top = _TOP.format(schema=_schema_from(path), file=path.name, title=title, model=model, revision=revision, kind=task)
    classifies = task == "text-classification"
    data = _DATA + (_LABELS if classifies else "") + _MORE_DATA
    text = top + (_CLASSES if classifies else "") + data + _TRAINING + (_POLICY if classifies else _GATES)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Refused(f"{path}: there is a file already, which is not overwritten; name another") from None
    except OSError as error:
        raise Refused(f"{path}: cannot be written ({error.strerror})") from None


def _schema_from(path: Path) -> str:
    """The schema as an editor finds it from a config: relative within a checkout, else where it is installed."""
    schema, folder = configs_folder() / "schema" / "audit.schema.json", path.resolve().parent
    within = folder.is_relative_to(configs_folder().parent)
    return Path(os.path.relpath(schema, folder)).as_posix() if within else schema.as_posix()
