"""What only several settings together, or the files they name, can tell: one clear sentence for each mistake."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audit.settings.inspection import columns_of, why_not_a_model
from audit.settings.mistakes import ConfigError
from audit.settings.reading import configs_folder, read
from audit.settings.validate import check

METRICS = {
    "utility": {"macro_f1", "accuracy"},
    "language_quality": {"bits_per_character"},
    "group_disparity": {"demographic_parity_difference", "equalized_odds_difference"},
    "minimal_pairs": {"stereotype_rate"},
    "membership": {"auc", "tpr_at_fpr"},
    "canaries": {"epsilon_lower_bound"},
    "domain_shift": {"accuracy_drop"},
    "perturbation": {"answers_changed"},
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = f"model: {{name: org/name, revision: {COMMIT}}}\n"
DATA = "data: {file: data.csv, label: label}\n"
WORLD = "model: world\ndata: {world: {}}\n"


@pytest.fixture
def folder(tmp_path):
    rows = "good,1,north,ann,shop\nbad,0,south,bob,web\n" * 150
    (tmp_path / "data.csv").write_text("text,label,region,who,where\n" + rows)
    (tmp_path / "more.jsonl").write_text('{"text": "good", "label": 1}\n{"sentence": "x", "label": 0}\n' * 150)
    pq.write_table(pa.table({"sentence": ["good"] * 300, "label": [1] * 300}), tmp_path / "more.parquet")
    make_model(tmp_path / "whole")
    make_model(tmp_path / "pickled", weights="pytorch_model.bin")
    make_model(tmp_path / "remote", config={"auto_map": {"AutoModel": "theirs.Model"}})
    make_model(tmp_path / "weightless", weights=None)
    (tmp_path / "empty").mkdir()
    return tmp_path


def make_model(
    folder: Path, weights: str | None = "model.safetensors", config: dict[str, object] | None = None
) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config or {"model_type": "bert"}))
    if weights:
        (folder / weights).touch()


def sentences(folder: Path, text: str, **known) -> list[str]:
    (folder / "audit.yaml").write_text(text)
    mistakes = check(read(folder / "audit.yaml"), METRICS, **known)
    return [str(mistake).replace(f"{folder}/", "") for mistake in mistakes]


def gates(*lines: str) -> str:
    listed = "".join(f"\n    - {{{line}}}" for line in lines)
    return f"deploy: dp\ngates:\n  name: p\n  version: 1\n  owner: o\n  gates:{listed}\n"


MODEL_FOLDER_REMEDY = "give the folder that save_pretrained writes, with its weights as safetensors"

BAD = {
    # --- the model ---
    "a branch for a revision": (
        "model:\n  name: org/name\n  revision: main\n" + DATA,
        "audit.yaml:3: model.revision: must be a commit of 40 hex digits, for a branch or tag may move; got 'main'",
    ),
    "a model folder that is absent": (
        "model: ./nowhere\n" + DATA,
        f"audit.yaml:1: model.name: no such folder; got 'nowhere'; {MODEL_FOLDER_REMEDY}",
    ),
    "a name that is neither": (
        "model: a/b/c\n" + DATA,
        "audit.yaml:1: model.name: neither a folder nor a name on the hub; got 'a/b/c'",
    ),
    "a folder that is no model's": (
        "model: empty\n" + DATA,
        "audit.yaml:1: model.name: no config.json in it, so it is no model's folder; got 'empty'; "
        + MODEL_FOLDER_REMEDY,
    ),
    "pickled weights": (
        "model: pickled\n" + DATA,
        "audit.yaml:1: model.name: only pickled weights (pytorch_model.bin), which could run code; got 'pickled'; "
        + MODEL_FOLDER_REMEDY,
    ),
    "remote code": (
        "model: remote\n" + DATA,
        "audit.yaml:1: model.name: its config.json asks for code of its own (auto_map), which is never run; "
        f"got 'remote'; {MODEL_FOLDER_REMEDY}",
    ),
    "a folder with a revision": (
        f"model: {{name: ./whole, revision: {COMMIT}}}\n" + DATA,
        "audit.yaml:1: model.revision: a folder has no revision; leave it out",
    ),
    "a tokenizer that is no folder": (
        "model: {name: whole, tokenizer: org/name}\n" + DATA,
        "audit.yaml:1: model.tokenizer: no such folder; got 'org/name'",
    ),
    "pretraining of another model": (
        "model: {name: whole, pretraining: {epochs: 1}}\n" + DATA,
        "audit.yaml:1: model.pretraining: is for the embedded model, 'world'; leave it out",
    ),
    "the embedded model on other data": (
        "model: world\n" + DATA,
        "audit.yaml:1: model.name: the embedded model knows only the embedded world's words; add data.world: {}",
    ),
    # --- the task ---
    "a classification without label": (
        MODEL + "task: {kind: text-classification}\ndata: {file: data.csv}\n",
        "audit.yaml:3: data.label: is required for text-classification; name the column of the label",
    ),
    "one class": (
        MODEL + DATA + "task: {classes: [good, good]}\n",
        "audit.yaml:3: task.classes: must be two or more different names; got good, good",
    ),
    "a threshold on no class": (
        MODEL + DATA + "task: {classes: [bad, good], decision: {class: goood, threshold: 0.5}}\n",
        "audit.yaml:3: task.decision.class: no such class; got 'goood'; did you mean 'good'?",
    ),
    "a threshold for a language model": (
        MODEL + "data: {file: data.csv}\ntask: {decision: {class: good, threshold: 0.5}}\n",
        "audit.yaml:3: task.decision.class: is for text-classification, and this is causal-lm; leave decision out",
    ),
    "a prompt without text": (
        MODEL + DATA + "task: {prompt: 'verdict:', label_words: {a: x, b: y}}\n",
        "audit.yaml:3: task.prompt: must have {text} where the text goes, and no other name in braces; got 'verdict:'",
    ),
    "a prompt without words": (
        MODEL + DATA + "task: {prompt: '{text} verdict'}\n",
        "audit.yaml:3: task.prompt: is for a model that classifies by a word; add label_words or leave it out",
    ),
    "a class without a word": (
        MODEL + DATA + "task: {classes: [bad, good], prompt: '{text} so', label_words: {good: accept}}\n",
        "audit.yaml:3: task.label_words: must have a word for each class; missing bad",
    ),
    "a word for no class": (
        MODEL
        + DATA
        + "task: {classes: [bad, good], prompt: '{text} so', label_words: {good: accept, bad: reject, god: x}}\n",
        "audit.yaml:3: task.label_words.god: no such class; got 'god'; did you mean 'good'?",
    ),
    "one word for two classes": (
        MODEL + DATA + "task: {prompt: '{text} so', label_words: {good: accept, bad: accept}}\n",
        "audit.yaml:3: task.label_words: must differ from class to class; got accept, accept",
    ),
    # --- the data ---
    "no data": (
        MODEL + "data: {}\n",
        "audit.yaml:2: data: must name one of file, hub or world; got none",
    ),
    "a file and the hub": (
        MODEL + f"data: {{file: data.csv, hub: a/b, revision: {COMMIT}}}\n",
        "audit.yaml:2: data: must name one of file, hub or world; got file, hub",
    ),
    "hub data without revision": (
        MODEL + "data: {hub: a/b}\n",
        "audit.yaml:2: data.revision: 'a/b' on the hub needs a pinned revision, or what is audited could change; "
        "write the 40 hex digits of its commit",
    ),
    "a split of a file": (
        MODEL + "data: {file: data.csv, split: train}\n",
        "audit.yaml:2: data.split: is for data from the hub; leave it out",
    ),
    "a data file that is absent": (
        MODEL + "data: {file: dat.csv}\n",
        "audit.yaml:2: data.file: no such file; got 'dat.csv'",
    ),
    "a folder for a data file": (
        MODEL + "data: {file: empty}\n",
        "audit.yaml:2: data.file: is a folder, not a file; got 'empty'",
    ),
    "a file of another kind": (
        MODEL + "data: {file: audit.yaml}\n",
        "audit.yaml:2: data.file: must end with .csv, .jsonl, .parquet; got 'audit.yaml'",
    ),
    "a column that is absent": (
        MODEL + "data:\n  file: data.csv\n  label: labels\n",
        "audit.yaml:4: data.label: no column 'labels' in data.csv; did you mean 'label'?",
    ),
    "a column like no other": (
        MODEL + "data: {file: data.csv, text: body}\n",
        "audit.yaml:2: data.text: no column 'body' in data.csv; it has label, region, text, where, who",
    ),
    "a text column that is not named": (
        MODEL + "data: {file: more.parquet}\n",
        "audit.yaml:2: data.text: no column 'text' in more.parquet; it has label, sentence",
    ),
    "a group that is absent": (
        MODEL + "data: {file: data.csv, groups: [who, regoin]}\n",
        "audit.yaml:2: data.groups.1: no column 'regoin' in data.csv; did you mean 'region'?",
    ),
    "the label as a group": (
        MODEL + "data: {file: data.csv, label: label, groups: [label]}\n",
        "audit.yaml:2: data.groups.0: the column 'label' is already the label; name another column",
    ),
    "the text as the label": (
        MODEL + "data: {file: data.csv, text: text, label: text}\n",
        "audit.yaml:2: data.label: the column 'text' is already the text; name another column",
    ),
    "a domain file that is absent": (
        MODEL + "data: {file: data.csv, domains: {web: {file: web.csv}}}\n",
        "audit.yaml:2: data.domains.web.file: no such file; got 'web.csv'",
    ),
    "a domain without the training data's columns": (
        MODEL + "data: {file: data.csv, label: label, domains: {web: {file: more.parquet}}}\n",
        "audit.yaml:2: data.domains.web.text: no column 'text' in more.parquet; it has label, sentence",
    ),
    "a domain's name that is no name": (
        MODEL + "data: {file: data.csv, domains: {'a[b]': {file: data.csv}}}\n",
        "audit.yaml:2: data.domains.a[b]: a domain's name must be of letters, digits, '_', '-' and '.'",
    ),
    "a domain column in a domain": (
        MODEL + "data: {file: data.csv, domains: {web: {file: data.csv, domain: where}}}\n",
        "audit.yaml:2: data.domains.web.domain: all rows of this source are of one domain; leave it out",
    ),
    "a value of no domain column": (
        MODEL + "data: {file: data.csv, in_domain: shop}\n",
        "audit.yaml:2: data.in_domain: is a value of the domain column, and none is named; add data.domain",
    ),
    "a label's name that is no class": (
        MODEL + "task: {classes: [bad, good]}\ndata: {file: data.csv, label: label, label_names: {0: bad, 1: goood}}\n",
        "audit.yaml:3: data.label_names.1: no such class; got 'goood'; did you mean 'good'?",
    ),
    "names of no label": (
        MODEL + "data: {file: data.csv, label_names: {0: bad, 1: good}}\n",
        "audit.yaml:2: data.label_names: name the values of a label column, and none is named; add data.label",
    ),
    "nothing left to train on": (
        MODEL + "data: {file: data.csv, test: 0.95}\n",
        "audit.yaml:2: data.test: with validation 0.1 + test 0.95 held out, nothing is trained on; hold out less",
    ),
    "mislabelled canaries without labels": (
        MODEL + "data:\n  file: data.csv\n  canaries:\n    - {kind: mislabelled, count: 5}\n",
        "audit.yaml:5: data.canaries.0.kind: mislabelled canaries need labels, and causal-lm has none; use 'random'",
    ),
    "secrets without a template": (
        MODEL + "data: {file: data.csv, canaries: [{kind: secret, count: 5, template: the card}]}\n",
        "audit.yaml:2: data.canaries.0.template: must have {secret} once, where the secret goes; it stands there "
        "0 times; write template: such as 'the card of the customer is {secret}'",
    ),
    "canaries of words that the embedded world has not": (
        "model: world\ndata: {world: {}, canaries: [{kind: random, count: 5}]}\n",
        "audit.yaml:2: data.canaries.0.kind: the embedded world knows no words but its own, and random canaries have "
        "others; use 'secret', 'in_distribution' or 'random_suffix'",
    ),
    "new tokens in the embedded world": (
        "model: world\ndata: {world: {}, canaries: [{kind: new_token, count: 5}]}\n",
        "audit.yaml:2: data.canaries.0.kind: the embedded world knows no words but its own, and new_token canaries "
        "have others; use 'secret', 'in_distribution' or 'random_suffix'",
    ),
    "secrets that the embedded world cannot say": (
        "model: world\ndata: {world: {}, canaries: [{kind: secret, count: 5, secret: key}]}\n",
        "audit.yaml:2: data.canaries.0.secret: the embedded world knows no words but its own, and a key has others; "
        "use 'digits' or 'card'",
    ),
    "references of what is not ranked": (
        MODEL + "data: {file: data.csv, canaries: [{kind: random, count: 5, references: 9}]}\n",
        "audit.yaml:2: data.canaries.0.references: is for kinds that are ranked (secret, in_distribution, "
        "random_suffix, new_token), and this is random; leave it out",
    ),
    "templates of no secret": (
        MODEL + "data: {file: data.csv, canaries: [{kind: random_suffix, count: 1, templates: ['a {secret}']}]}\n",
        "audit.yaml:2: data.canaries.0.templates: is for kind: secret, and this is random_suffix; leave it out",
    ),
    "one of several templates without a place": (
        MODEL + "data: {file: data.csv, canaries: [{kind: secret, count: 5, templates: ['a {secret}', b]}]}\n",
        "audit.yaml:2: data.canaries.0.templates.1: must have {secret} once, where the secret goes; it stands there 0 "
        "times; write template: such as 'the card of the customer is {secret}'",
    ),
    "a template beside templates": (
        MODEL + "data: {file: data.csv, canaries: [{kind: secret, count: 5, template: '{secret}', "
        "templates: ['a {secret}']}]}\n",
        "audit.yaml:2: data.canaries.0.templates: stands beside template, and one of them is enough; leave one of "
        "them out",
    ),
    "a template twice": (
        MODEL + "data: {file: data.csv, canaries: [{kind: secret, count: 5, templates: ['{secret}', '{secret}']}]}\n",
        "audit.yaml:2: data.canaries.0.templates: two of them are the same; leave one out",
    ),
    "more templates than secrets": (
        MODEL + "data: {file: data.csv, canaries: [{kind: secret, count: 1, templates: ['{secret}', 'a {secret}']}]}\n",
        "audit.yaml:2: data.canaries.0.templates: 2 texts for a count of 1 leave some without a secret; raise count",
    ),
    "a template of no secret": (
        MODEL + "data: {file: data.csv, canaries: [{kind: random, count: 5, template: a}]}\n",
        "audit.yaml:2: data.canaries.0.template: is for kind: secret, and this is random; leave it out",
    ),
    # --- the arms ---
    "an arm with a twin's name": (
        WORLD + "arms: {dp-twin: {}}\n",
        "audit.yaml:3: arms.dp-twin: an arm's name must not end with '-twin', as those of the audit's own twins do",
    ),
    "an arm's name that is no name": (
        WORLD + "arms: {a/b: {}}\n",
        "audit.yaml:3: arms.a/b: an arm's name must be of letters, digits, '_', '-' and '.'",
    ),
    "a given model that is absent": (
        WORLD + "arms: {theirs: {given: nowhere}}\n",
        f"audit.yaml:3: arms.theirs.given: no such folder; got 'nowhere'; {MODEL_FOLDER_REMEDY}",
    ),
    "a given model without weights": (
        WORLD + "arms: {theirs: {given: weightless}}\n",
        f"audit.yaml:3: arms.theirs.given: no weights (*.safetensors) in it; got 'weightless'; {MODEL_FOLDER_REMEDY}",
    ),
    "training of a given model": (
        WORLD + "arms: {theirs: {given: whole, training: {epochs: 2}}}\n",
        "audit.yaml:3: arms.theirs.training: 'theirs' was trained elsewhere, so it is not trained here; leave it out",
    ),
    "seeds of the base": (
        WORLD + "arms: {base: {seeds: 3}}\n",
        "audit.yaml:3: arms.base.seeds: 'base' is the untouched model, so it has no training seeds; leave it out",
    ),
    "privacy of the base": (
        WORLD + "arms: {base: {privacy: {epsilon: 8}}}\n",
        "audit.yaml:3: arms.base.privacy: 'base' is the untouched model, so nothing is trained with privacy; "
        "write it in an arm that is trained",
    ),
    "privacy of a given model": (
        WORLD + "arms: {theirs: {given: whole, privacy: {epsilon: 8}}}\n",
        "audit.yaml:3: arms.theirs.privacy: 'theirs' was trained elsewhere, so its privacy is not accounted here; "
        "write 'claims' with epsilon and delta",
    ),
    "claims of an arm that is trained here": (
        WORLD + "arms: {dp: {claims: {epsilon: 8, delta: 1e-6}}}\n",
        "audit.yaml:3: arms.dp.claims: 'dp' is trained here, so its privacy is accounted and not claimed; "
        "write 'privacy' instead",
    ),
    "a source of a given model": (
        WORLD + "arms: {theirs: {given: whole, source: trained}}\n",
        "audit.yaml:3: arms.theirs.source: 'theirs' is given, so its source is known; leave it out",
    ),
    "a delta that promises nothing": (
        WORLD + "arms:\n  dp:\n    privacy:\n      epsilon: 8\n      delta: 1e-3\n",
        "audit.yaml:7: arms.dp.privacy.delta: must be at most 1/(10 · units) = 7.7e-05 for 1,300 units; got 0.001; "
        "leave it out for the power of ten below that",
    ),
    "momentum of adamw": (
        WORLD + "arms: {dp: {training: {momentum: 0.9}}}\n",
        "audit.yaml:3: arms.dp.training.momentum: is for sgd; set optimizer: sgd or leave it out",
    ),
    "momentum that no arm uses": (
        WORLD + "training: {momentum: 0.9}\n",
        "audit.yaml:3: training.momentum: is for sgd, which no arm uses; set optimizer: sgd or leave it out",
    ),
    "a batch's clipping in a private arm": (
        WORLD + "arms: {dp: {privacy: {epsilon: 8}, training: {max_grad_norm: 2.0}}}\n",
        "audit.yaml:3: arms.dp.training.max_grad_norm: clips whole batches, and this arm clips each example; "
        "write arms.dp.privacy.max_grad_norm",
    ),
    "a weight of no word": (
        MODEL + DATA + "training: {label_loss_weight: 10}\n",
        "audit.yaml:3: training.label_loss_weight: is for a causal model that classifies by a word; "
        "add task.label_words or leave it out",
    ),
    "a rate of no head": (
        MODEL + "task: {kind: causal-lm}\ndata: {file: data.csv}\narms: {dp: {training: {head_learning_rate: 0.01}}}\n",
        "audit.yaml:4: arms.dp.training.head_learning_rate: is for the new head of a classifier, and there is none; "
        "leave it out",
    ),
    # --- probes and gates ---
    "a probe that is none": (
        WORLD + "probes: {membershp: {}}\n",
        "audit.yaml:3: probes.membershp: no such probe; did you mean 'membership'?",
    ),
    "a deployed arm that is none": (
        WORLD + "deploy: dpp\n",
        "audit.yaml:3: deploy: no such arm; got 'dpp'; did you mean 'dp'?",
    ),
    "a deployed control": (
        WORLD + "deploy: base\n",
        "audit.yaml:3: deploy: 'base' is a control, which is not for deployment; the candidates are dp, standard",
    ),
    "gates without a deployed arm": (
        WORLD + gates("id: a, kind: bound, metric: utility.accuracy, min: 0.5").removeprefix("deploy: dp\n"),
        "audit.yaml:1: deploy: is required with gates: they judge the arm that is to be deployed; "
        "name one of the candidates: dp, standard",
    ),
    "a gate on an arm that is none": (
        WORLD + gates("id: a, kind: bound, metric: utility.accuracy, min: 0.5, arm: private"),
        "audit.yaml:9: gates.gates.0.arm: no such arm; got 'private'; there are base, dp, standard",
    ),
    "a reference that is none": (
        WORLD + gates("id: a, kind: noninferior, metric: utility.accuracy, margin: 0.1, reference: standrd"),
        "audit.yaml:9: gates.gates.0.reference: no such arm; got 'standrd'; did you mean 'standard'?",
    ),
    "an arm compared with itself": (
        WORLD + gates("id: a, kind: noninferior, metric: utility.accuracy, margin: 0.1, reference: dp"),
        "audit.yaml:9: gates.gates.0.reference: 'dp' would be compared with itself; name another arm",
    ),
    "a gate of the same name": (
        WORLD + gates(*["id: a, kind: bound, metric: utility.accuracy, min: 0.5"] * 2),
        "audit.yaml:10: gates.gates.1.id: stands twice; got 'a'; give each gate a name of its own",
    ),
    "a metric without its probe": (
        WORLD + gates("id: a, kind: bound, metric: accuracy, min: 0.5"),
        "audit.yaml:9: gates.gates.0.metric: must have the form probe.metric or probe.metric[slice]; got 'accuracy'",
    ),
    "a metric of no probe": (
        WORLD + gates("id: a, kind: bound, metric: utilty.accuracy, min: 0.5"),
        "audit.yaml:9: gates.gates.0.metric: no probe is called 'utilty'; did you mean 'utility'?",
    ),
    "a metric that its probe does not make": (
        WORLD + gates("id: a, kind: bound, metric: 'utility.acuracy[*]', min: 0.5"),
        "audit.yaml:9: gates.gates.0.metric: 'utility' has no metric 'acuracy'; did you mean 'accuracy'?",
    ),
    "a metric of a probe that is off": (
        WORLD + "probes: {membership: {}}\n" + gates("id: a, kind: bound, metric: utility.accuracy, min: 0.5"),
        "audit.yaml:10: gates.gates.0.metric: the probe 'utility' is not switched on; add 'utility: {}' to probes",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_gives_one_sentence_with_file_line_key_and_remedy(folder, case):
    text, sentence = BAD[case]
    assert sentences(folder, text) == [sentence]


GOOD = {
    "the embedded world": WORLD,
    "a shipped policy": WORLD + "deploy: dp\ngates: predeployment\n",
    "a hub model on a CSV file": MODEL + DATA,
    "a hub model whose commit is left open": "model: org/name\n" + DATA,
    "a folder on a Parquet file": "model: whole\ndata: {file: more.parquet, text: sentence, label: label}\n",
    "every column": MODEL + "data: {file: data.csv, label: label, groups: [region], person: who, domain: where, "
    "in_domain: shop}\n",
    "a domain with columns of its own": MODEL + "data: {file: data.csv, label: label, "
    "domains: {more: {file: more.parquet, text: sentence}}}\n",
    "secrets": MODEL + "data: {file: data.csv, canaries: [{kind: secret, count: 5, template: 'a {secret}'}]}\n",
    "secrets in several sentences": MODEL + "data: {file: data.csv, canaries: [{kind: secret, count: 5, "
    "templates: ['a {secret}', 'b {secret}'], digits: 3, references: 900}]}\n",
    "canaries that end in a new token": MODEL
    + "data: {file: data.csv, canaries: [{kind: new_token, count: 5, references: 9}]}\n",
    "canaries of pieces of the embedded world's tickets": "model: world\ndata: {world: {}, canaries: "
    "[{kind: in_distribution, count: 5, references: 9}, {kind: random_suffix, count: 5}]}\n",
    "a given model with claims": WORLD + "arms: {theirs: {given: whole, "
    "claims: {epsilon: 8, delta: 1e-6}}}\ndeploy: theirs\n",
    "a control that claims what it does not keep": WORLD + "arms: {leaky: {role: control, "
    "claims: {epsilon: 8, delta: 1e-6}}}\n",
    "momentum for the arm that uses it": WORLD + "training: {momentum: 0.9}\narms: {base: {}, standard: {}, "
    "dp: {training: {optimizer: sgd}}}\n",
    "a delta just small enough": WORLD + "arms: {dp: {privacy: {epsilon: 8, delta: 7.6e-5}}}\n",
}


@pytest.mark.parametrize("case", GOOD)
def test_a_config_without_mistakes_has_none(folder, case):
    assert sentences(folder, GOOD[case]) == []


def test_all_mistakes_come_at_once(folder):
    text = "model: org/name@main\ndata: {file: data.csv, label: labels}\n"
    text += "arms: {base: {seeds: 2}}\ndeploy: dp\nprobes: {x: {}}\n"
    keys = [sentence.split(": ")[1] for sentence in sentences(folder, text)]
    assert keys == ["model.revision", "data.label", "arms.base.seeds", "probes.x", "deploy"]


def test_what_a_probe_says_of_its_parameters_is_a_mistake_of_the_config(folder):
    def instantiate(name, parameters):
        if parameters:
            raise ValueError(f"{name}: no parameter called 'attak'; did you mean 'attacks'?")

    text = WORLD + "probes:\n  utility: {}\n  membership: {attak: loss}\n"
    said = "audit.yaml:5: probes.membership: no parameter called 'attak'; did you mean 'attacks'?"
    assert sentences(folder, text) == []
    assert sentences(folder, text, instantiate=instantiate) == [said]


def test_delta_is_held_against_the_fewest_examples_that_the_file_leaves_to_train_on(folder):
    text = MODEL + DATA + "arms: {dp: {privacy: {epsilon: 8, delta: %s}}}\n"
    assert sentences(folder, text % "4.7e-4") == []  # 300 rows less a fifth and a tenth: 1/2,100 = 4.76e-4
    (said,) = sentences(folder, text % "4.8e-4")
    assert "must be at most 1/(10 · units) = 0.00048 for 210 units or more; got 0.00048" in said
    skipping = MODEL + "data: {file: data.csv, label: label, bad_rows: skip}\n" + text.removeprefix(MODEL + DATA)
    assert sentences(folder, skipping % "0.5") == []  # it may be that no row but one can be used


def test_a_mistake_in_a_policys_own_file_names_that_file(folder):
    gate = "{id: a, kind: bound, metric: utility.acuracy, min: 0.5}"
    (folder / "mine.yaml").write_text(f"name: p\nversion: 1\nowner: o\ngates:\n  - {gate}\n")
    (said,) = sentences(folder, WORLD + "deploy: dp\ngates: mine.yaml\n")
    assert said == "mine.yaml:5: gates.0.metric: 'utility' has no metric 'acuracy'; did you mean 'accuracy'?"


def test_the_shipped_config_on_shared_data_has_no_mistakes(shared, monkeypatch):
    monkeypatch.setenv("AUDIT_SHARED", str(shared))
    assert check(read(configs_folder() / "sst2_minilm.yaml"), METRICS) == []


SHIPPED = sorted(path.stem for path in configs_folder().glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_config_lacks_at_most_the_files_that_are_not_shipped(name, monkeypatch):
    from audit.opening import opened

    monkeypatch.setenv("AUDIT_SHARED", "/nowhere")
    if name in {"demo", "demo_control", "gpt2_text"}:
        assert opened(configs_folder() / f"{name}.yaml").plan.arms
        return
    with pytest.raises(ConfigError) as caught:
        opened(configs_folder() / f"{name}.yaml")
    assert {m.rule.partition(";")[0] for m in caught.value.mistakes} <= {"no such file", "no such folder"}


# ---- at a glance ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("a.csv", b'text,label\n"two\nlines",1\n', ["text", "label"]),
        ("bom.csv", b"\xef\xbb\xbftext,label\na,1\n", ["text", "label"]),
        ("rows_that_do_not_fit.csv", b"text,label\na,1,3\n", ["text", "label"]),
        ("header_only.csv", b"text,label\n", ["text", "label"]),
        ("a.jsonl", b'\n{"a": 1}\n[3]\n{"a"\n{"b": 2}\n', ["a", "b"]),
        ("A.JSONL", b'{"a": 1}\n', ["a"]),
    ],
)
def test_columns_are_read_from_the_header_whatever_the_rows_are(tmp_path, name, content, columns):
    (tmp_path / name).write_bytes(content)
    assert list(columns_of(tmp_path / name)) == columns


def test_a_column_that_comes_late_is_found_if_it_is_looked_for(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n' * 150 + '{"late": 1}\n')
    assert list(columns_of(path)) == ["a"]
    assert list(columns_of(path, ["late"])) == ["a", "late"]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"", "cannot be read as CSV"),
        ("a.csv", "text,läbel\na,1\n".encode("latin-1"), "must be UTF-8 text; got the byte 0xe4"),
        ("a.jsonl", b"[1]\n", "no line of it is a JSON object"),
        ("a.parquet", b"PAR1", "cannot be read as PARQUET"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        columns_of(tmp_path / name)


def test_a_column_that_stands_twice_is_refused(folder):
    (folder / "twice.csv").write_text("text,text\n" + "a,b\n" * 100)
    (said,) = sentences(folder, MODEL + "data: {file: twice.csv}\n")
    assert said == "audit.yaml:2: data.text: the column 'text' stands in twice.csv twice; rename one"


def test_code_of_a_tokenizers_own_is_refused_too(folder):
    (folder / "whole" / "tokenizer_config.json").write_text('{"auto_map": {}}')
    assert "tokenizer_config.json asks for code" in str(why_not_a_model(folder / "whole"))


def test_checking_data_imports_neither_torch_nor_datasets(folder):
    (folder / "audit.yaml").write_text(MODEL + "data: {file: more.parquet, text: sentence, label: label}\n")
    program = (
        "import sys, pathlib; from audit.settings.reading import read; from audit.settings.validate import check; "
        f"assert check(read(pathlib.Path({str(folder / 'audit.yaml')!r})), {{}}) == []; "
        "print(sorted({'torch', 'transformers', 'datasets', 'opacus', 'pandas'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
