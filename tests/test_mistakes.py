"""What `audit validate` says, probes and all: mistakes that would otherwise end a run, or that no one would notice."""

import ast
import json
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
from pydantic import BaseModel

from audit.opening import opened
from audit.settings import config as whole
from audit.settings import sections
from audit.settings.inspection import checkpoint_of, rows_of, why_other_classes
from audit.settings.mistakes import ConfigError
from audit.settings.sections.strict import Strict
from audit.settings.sections.training import Privacy

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = f"model: org/name@{COMMIT}\n"
DATA = "data: {file: data.csv, label: label}\n"
WORLD = "model: world\ndata: {world: {}}\n"
WORDS = "task: {prompt: '{text} verdict', label_words: {accept: accept, reject: reject}}\n"


@pytest.fixture
def folder(tmp_path):
    rows = "good,1,north,ann,shop\nbad,0,south,bob,web\n" * 150
    (tmp_path / "data.csv").write_text("text,label,region,who,where\n" + rows)
    (tmp_path / "pairs.csv").write_text("sent_more,sent_less,bias_type\nHe is poor.,She is poor.,gender\n")
    (tmp_path / "other.csv").write_text("more,less\nHe is poor.,She is poor.\n")
    folders = {
        "bert": {"architectures": ["BertForMaskedLM"], "num_hidden_layers": 6, "max_position_embeddings": 512},
        "bare": {"architectures": ["BertModel"], "num_hidden_layers": 6, "max_position_embeddings": 512},
        "theirs": {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "0", "1": "1", "2": "2"}},
        "gpt2": {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_layer": 12, "n_positions": 1024},
    }
    for name, config in folders.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"model_type": "bert", **config}))
        (tmp_path / name / "model.safetensors").touch()
    return tmp_path


def said(folder: Path, text: str) -> list[str]:
    (folder / "audit.yaml").write_text(text)
    try:
        opened(folder / "audit.yaml")
    except ConfigError as error:
        return [str(mistake).replace(f"{folder}/", "") for mistake in error.mistakes]
    return []


TAKE_OUT = "give what is missing, or take the probe out"

BAD = {
    # --- probes that need what the data do not have ---
    "group disparity without groups": (
        MODEL + DATA + "probes:\n  group_disparity:\n",
        "audit.yaml:4: probes.group_disparity: could be put to no arm: the data name no protected attribute; "
        + TAKE_OUT,
    ),
    "domain shift without domains": (
        MODEL + DATA + "probes: {domain_shift: {}}\n",
        f"audit.yaml:3: probes.domain_shift: could be put to no arm: the data have no other domain; {TAKE_OUT}",
    ),
    "accuracy without labels": (
        MODEL + "data: {file: data.csv}\nprobes: {utility: {}}\n",
        "audit.yaml:3: probes.utility: could be put to no arm: the task is causal-lm, which has no classes to decide "
        f"for; {TAKE_OUT}",
    ),
    "the quality of language of classifiers": (
        MODEL + DATA + "arms: {standard: {}}\nprobes: {language_quality: {}}\n",
        "audit.yaml:4: probes.language_quality: could be put to no arm: a classification head gives no probability to "
        f"the text itself; {TAKE_OUT}",
    ),
    "stereotypes of classifiers": (
        MODEL + DATA + "arms: {standard: {}}\nprobes: {minimal_pairs: {}}\n",
        "audit.yaml:4: probes.minimal_pairs: could be put to no arm: a classification head gives no probability to a "
        f"sentence; {TAKE_OUT}",
    ),
    "a score against a base with another head": (
        MODEL + DATA + "probes: {canaries: {score: reference}}\n",
        "audit.yaml:3: probes.canaries: could be put to no arm: the score is the difference to the base, which does "
        f"not answer with the same head; {TAKE_OUT}",
    ),
    # --- a probe's file ---
    "pairs that are absent": (
        MODEL + "data: {file: data.csv}\nprobes: {minimal_pairs: {file: pair.csv}}\n",
        "audit.yaml:3: probes.minimal_pairs.file: must be the path of a file or the name of a published benchmark "
        "(crows_pairs); there is no 'pair.csv'",
    ),
    "a benchmark that is not published": (
        MODEL + "data: {file: data.csv}\nprobes: {minimal_pairs: {file: crow_pairs}}\n",
        "audit.yaml:3: probes.minimal_pairs.file: must be the path of a file or the name of a published benchmark "
        "(crows_pairs); there is no 'crow_pairs'",
    ),
    "pairs without their columns": (
        MODEL + "data: {file: data.csv}\nprobes:\n  minimal_pairs:\n    file: other.csv\n",
        "audit.yaml:5: probes.minimal_pairs.file: other.csv: pairs need sent_more, sent_less, bias_type; missing "
        "['bias_type', 'sent_less', 'sent_more']",
    ),
    # --- prompt and label words ---
    "label words without a prompt": (
        "model: gpt2\n" + DATA + "task: {label_words: {0: bad, 1: good}}\n",
        "audit.yaml:3: task.prompt: is required with label_words: it must have {text} and end in words that they "
        "follow; write prompt: such as '{text} verdict'",
    ),
    "a prompt that ends in the text": (
        "model: gpt2\n" + DATA + "task: {prompt: 'is it: {text}', label_words: {0: bad, 1: good}}\n",
        "audit.yaml:3: task.prompt: must end in words of its own and not in a space, for the class's word follows; got "
        "'is it: {text}'; write it such as 'is it: {text} verdict'",
    ),
    "a prompt that ends in a space": (
        "model: gpt2\n" + DATA + "task: {prompt: '{text} is ', label_words: {0: bad, 1: good}}\n",
        "audit.yaml:3: task.prompt: must end in words of its own and not in a space, for the class's word follows; got "
        "'{text} is '",
    ),
    "a prompt with another name in braces": (
        "model: gpt2\n" + DATA + "task: {prompt: '{text} by {who} is', label_words: {0: bad, 1: good}}\n",
        "audit.yaml:3: task.prompt: must have {text} where the text goes, and no other name in braces; got "
        "'{text} by {who} is'",
    ),
    "a prompt without its second text": (
        "model: gpt2\ndata: {file: data.csv, label: label, text_pair: who}\n"
        "task: {prompt: '{text} is', label_words: {0: bad, 1: good}}\n",
        "audit.yaml:3: task.prompt: must have {text} and {text_pair} where the text goes; got '{text} is'",
    ),
    "a prompt with half a brace": (
        "model: gpt2\n" + DATA + "task: {prompt: '{text} { is', label_words: {0: bad, 1: good}}\n",
        "audit.yaml:3: task.prompt: has a brace without its other; got '{text} { is'; "
        "write {{ and }} for braces of the text",
    ),
    "a label word with a space": (
        "model: gpt2\n" + DATA + "task: {prompt: '{text} is', label_words: {0: bad, 1: ' good'}}\n",
        "audit.yaml:3: task.label_words.1: must be a word without spaces around it; got ' good'",
    ),
    "a word that the embedded world has not": (
        WORLD + WORDS.replace("reject: reject", "reject: denied"),
        "audit.yaml:3: task.label_words.reject: the embedded world has no word 'denied'; 'reject' itself will do",
    ),
    "label words of a model that looks ahead": (
        "model: bert\n" + DATA + "task: {prompt: '{text} is', label_words: {0: bad, 1: good}}\n",
        "audit.yaml:1: model.name: a bert model sees the words that come after, so it is no causal model; choose "
        "another model, or task.kind: masked-lm",
    ),
    # --- what the model can bear ---
    "more layers frozen than there are": (
        "model: bert\n" + DATA + "arms:\n  a:\n    training: {strategy: {frozen: 7}}\n  b: {}\n",
        "audit.yaml:5: arms.a.training.strategy.frozen: the model has 6 layers, so 7 cannot be frozen; "
        "write 6 or fewer",
    ),
    "more layers frozen for all arms": (
        "model: gpt2\n" + DATA + "training: {strategy: {frozen: 13}}\n",
        "audit.yaml:3: training.strategy.frozen: the model has 12 layers, so 13 cannot be frozen; write 12 or fewer",
    ),
    "texts longer than the model's context": (
        "model: {name: bert, max_length: 513}\n" + DATA,
        "audit.yaml:1: model.max_length: the model in bert has positions for 512 tokens; got 513; write 512 or fewer",
    ),
    "a second text of a language model": (
        "model: gpt2\ndata: {file: data.csv, text_pair: who}\n",
        "audit.yaml:2: data.text_pair: is for text-classification, and this is causal-lm; leave it out",
    ),
    "a label of a language model": (
        "model: gpt2\ntask: {kind: causal-lm}\n" + DATA,
        "audit.yaml:3: data.label: is for text-classification, and this is causal-lm; leave it out",
    ),
    "a masked model without its head": (
        "model: bare\ntask: {kind: masked-lm}\ndata: {file: data.csv}\n",
        "audit.yaml:1: model.name: no head of a masked language model in it (BertModel); "
        "choose another model, or another task.kind",
    ),
    "a model whose own head is of another size": (
        "model: theirs\n" + DATA + "task: {classes: ['0', '1']}\n",
        "audit.yaml:1: model.name: its head has 3 classes, and the task has 2: 0, 1; "
        "give the model that it was trained from, which has no head for classes",
    ),
    "a given model without a head for classes": (
        MODEL + DATA + "arms: {theirs: {given: bert}}\n",
        "audit.yaml:3: arms.theirs.given: no classification head in it (BertForMaskedLM), so it would answer at "
        "random; give a model that was trained to classify",
    ),
    "a given head of another size": (
        MODEL + DATA + "task: {classes: ['0', '1']}\narms: {theirs: {given: theirs}}\n",
        "audit.yaml:4: arms.theirs.given: its head has 3 classes, and the task has 2: 0, 1; got 'theirs'; "
        "give task.classes in its order, and data.label_names to match",
    ),
    # --- privacy ---
    "an epsilon that promises nothing": (
        MODEL + DATA + "arms: {dp: {privacy: {epsilon: 500}}}\n",
        "audit.yaml:3: arms.dp.privacy.epsilon: must be at most 100; got 500",
    ),
    "a delta for a file's rows": (
        MODEL + DATA + "arms:\n  dp:\n    privacy: {epsilon: 8, delta: 1e-3}\n",
        "audit.yaml:5: arms.dp.privacy.delta: must be at most 1/(10 · units) = 0.00048 for 210 units or more; got "
        "0.001; leave it out for the power of ten below that",
    ),
    "a batch of more than all rows": (
        MODEL + DATA + "training: {batch_size: 400}\narms: {standard: {}, dp: {privacy: {epsilon: 8}}}\n",
        "audit.yaml:3: training.batch_size: a private arm cannot draw more than the 300 examples or fewer that it is "
        "trained on; got 400 for 'dp'; lower it, or set it in the arm's own training",
    ),
    # --- canaries ---
    "a template of two secrets": (
        MODEL + "data: {file: data.csv, canaries: [{kind: secret, count: 5, template: '{secret} or {secret}'}]}\n",
        "audit.yaml:2: data.canaries.0.template: must have {secret} once, where the secret goes; it stands there 2 "
        "times; write template: such as 'the card of the customer is {secret}'",
    ),
    "more secrets than there are": (
        MODEL + "data: {file: data.csv, canaries: [{kind: secret, count: 5, template: 'a {secret}', digits: 3}]}\n",
        "audit.yaml:2: data.canaries.0.digits: 1,005 different secrets are needed, references included, and there are "
        "1,000; raise digits, or lower count or references",
    ),
    "more secrets of one template than there are": (
        MODEL + "data: {file: data.csv, canaries: [{kind: secret, count: 5, templates: ['a {secret}', 'b {secret}'], "
        "digits: 2, references: 98}]}\n",
        "audit.yaml:2: data.canaries.0.digits: 101 different secrets are needed, references included, and there are "
        "100; raise digits, or lower count or references",
    ),
    "more canaries than texts to make them of": (
        MODEL + "data:\n  file: data.csv\n  canaries:\n    - {kind: random, count: 500}\n"
        "    - {kind: random_suffix, count: 301}\n",
        "audit.yaml:6: data.canaries.1.count: each of 301 random_suffix canaries is made of a training text of its "
        "own, and there are 300 rows; lower it",
    ),
    "more new tokens than texts to begin with": (
        MODEL + "data:\n  file: data.csv\n  canaries:\n    - {kind: new_token, count: 301}\n",
        "audit.yaml:5: data.canaries.0.count: each of 301 new_token canaries is made of a training text of its own, "
        "and there are 300 rows; lower it",
    ),
    "canaries where nothing is trained": (
        MODEL + "data:\n  file: data.csv\n  canaries: [{kind: random, count: 5}]\narms: {base: {}}\n",
        "audit.yaml:4: data.canaries: are planted in the twins of arms that are trained here, and there is none; "
        "leave them out, or add such an arm",
    ),
    # --- settings that nothing would read ---
    "a recipe where nothing is trained": (
        MODEL + DATA + "training: {epochs: 3}\narms: {base: {}}\n",
        "audit.yaml:3: training: no arm is trained here, so this changes nothing; leave it out, or add such an arm",
    ),
    "columns of the embedded world": (
        "model: world\ndata: {world: {}, groups: [region]}\n",
        "audit.yaml:2: data.groups: the embedded world brings data of its own, and this changes nothing in them; "
        "leave it out",
    ),
    "classes of the embedded world": (
        WORLD + "task: {classes: [yes, no]}\n",
        "audit.yaml:3: task.classes: the embedded world's are accept, reject; got yes, no; leave it out",
    ),
    "a twin of a model trained elsewhere": (
        WORLD + "arms:\n  vendor:\n    given: theirs\n    twin: gpt2\n",
        "audit.yaml:6: arms.vendor.twin: no such setting: what a twin was trained on is known only of those that the "
        "audit trains itself; leave it out, and what needs a twin is not measured on this arm",
    ),
    "examples in the report": (
        WORLD + "report: {examples: true}\n",
        "audit.yaml:3: report: no such setting: the report never shows texts of the data; leave it out",
    ),
    # --- what is audited ---
    "a commit in the name": (
        MODEL.replace("model: ", "model: {name: ").replace("\n", "}\n") + DATA,
        f"audit.yaml:1: model.name: neither a folder nor a name on the hub; got 'org/name@{COMMIT}'; "
        "write what stands behind the @ as revision",
    ),
    "a hub model at a branch": (
        "model: org/name@main\n" + DATA,
        "audit.yaml:1: model.revision: must be a commit of 40 hex digits, for a branch or tag may move; got 'main'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_gives_one_sentence_with_file_line_key_and_remedy(folder, case):
    text, sentence = BAD[case]
    assert said(folder, text) == [sentence]


GOOD = {
    "a probe that some arm can be asked": "model: bert\n" + DATA + "probes: {minimal_pairs: {}, utility: {}}\n",
    "probes of what the data have": MODEL + "data: {file: data.csv, label: label, domain: where, groups: [region]}\n"
    "probes: {group_disparity: {}, domain_shift: {}, perturbation: {}, name_swap: {}, membership: {}, canaries: {}}\n",
    "a domain of a file of its own": MODEL + "data: {file: data.csv, label: label, domains: {web: {file: data.csv}}}\n"
    "probes: {domain_shift: {}}\n",
    "pairs from a file": MODEL + "data: {file: data.csv}\nprobes: {minimal_pairs: {file: pairs.csv}}\n",
    "a benchmark that is fetched only later": MODEL + "data: {file: data.csv}\nprobes: {minimal_pairs: {file: "
    "crows_pairs}}\n",
    "all that the embedded world can be asked": WORLD + WORDS + "probes: {utility: {}, minimal_pairs: {}, "
    "group_disparity: {}, name_swap: {}, domain_shift: {}, perturbation: {}, membership: {}, canaries: {}}\n",
    "privacy probes where there is no twin": MODEL + DATA + "arms: {base: {}, theirs: {given: theirs}}\n"
    "probes: {membership: {}, canaries: {}, utility: {}}\n",
    "pairs by a prompt": "model: gpt2\ndata: {file: data.csv, label: label, text_pair: who}\n"
    "task: {prompt: '{text} and {text_pair} are', label_words: {0: bad, 1: good}}\n",
    "the whole context and all layers": "model: {name: bert, max_length: 512}\n" + DATA + "training: {strategy: "
    "{frozen: 6}}\n",
    "the embedded world's own sentence": WORLD.replace(
        "{world: {}}", "{world: {}, canaries: [{kind: secret, count: 9}]}"
    ),
}


@pytest.mark.parametrize("case", GOOD)
def test_a_config_without_mistakes_has_none(folder, case):
    assert said(folder, GOOD[case]) == []


# ---- one mistake does not hide another ------------------------------------------------------------------------------

TOGETHER = {
    "a misspelt key and a mistake elsewhere": (
        "model: org/name@main\n" + DATA + "training: {epoch: 3}\ndeploy: dpp\n",
        ["model.revision", "training.epoch", "deploy"],
    ),
    "a misspelt section": (
        "model: org/name@main\n" + DATA + "trainin: {epochs: 3}\ndeploy: dpp\n",
        ["model.revision", "trainin", "deploy"],
    ),
    "a value that cannot be": (
        MODEL + "data: {file: data.csv, label: labels}\narms: {dp: {seeds: many}}\nprobes: {x: {}}\n",
        ["data.label", "arms.dp.seeds", "probes.x"],
    ),
    "a bad element of a list": (
        MODEL + "data:\n  file: data.csv\n  label: labels\n  canaries: [{kind: rndom, count: 5}]\ndeploy: dpp\n",
        ["data.label", "data.canaries.0.kind", "deploy"],
    ),
    "no model at all": (
        "data: {file: data.csv, label: labels}\ndeploy: dpp\n",
        ["data.label", "model", "deploy"],
    ),
    "a gate without its metric": (
        MODEL + "data: {file: data.csv, label: labels}\ngates:\n  name: p\n  version: 1\n  gates:\n"
        "    - {id: a, kind: bound, max: 1}\n",
        ["data.label", "gates.gates.0.metric"],
    ),
    "a variable that is not set": (
        "model: org/name@main\ndata: {file: '${NO_SUCH_VARIABLE}/d.csv', canaries: [{kind: secret, count: 5}]}\n",
        ["model.revision", "data.canaries.0.template", "data.file"],
    ),
    "a key that stands twice": (
        "model: org/name@main\n" + DATA + "seeds: {coins: 1, coins: 2}\n",
        ["model.revision", "seeds.coins"],
    ),
}


@pytest.mark.parametrize("case", TOGETHER)
def test_mistakes_in_other_sections_are_told_as_well(folder, case):
    text, keys = TOGETHER[case]
    assert sorted(sentence.split(": ")[1] for sentence in said(folder, text)) == sorted(keys)


SILENT = {
    "a label that is misspelt is not missing": MODEL + "data: {file: data.csv, labl: label}\n"
    "task: {kind: text-classification, classes: ['0', '1']}\nprobes: {utility: {}}\n",
    "a kind that is misspelt is not another": MODEL + DATA + "task: {kind: text-clasification, classes: ['0', '1']}\n"
    "probes: {utility: {}}\n",
    "a role that is misspelt does not make a control": MODEL + DATA + "arms: {base: {rol: candidate}}\ndeploy: base\n",
    "groups that are misspelt are not missing": MODEL + "data: {file: data.csv, label: label, group: [region]}\n"
    "probes: {group_disparity: {}}\n",
    "a file that is no text is not absent": MODEL + "data: {file: 3, label: label}\nprobes: {utility: {}}\n",
}


@pytest.mark.parametrize("case", SILENT)
def test_what_may_be_no_more_than_a_consequence_is_not_said(folder, case):
    assert len(said(folder, SILENT[case])) == 1


# ---- no setting without a reader ------------------------------------------------------------------------------------


def _sections() -> list[type[BaseModel]]:
    modules = [whole, *(import_module(f"{sections.__name__}.{m.name}") for m in iter_modules(sections.__path__))]
    found = [each for module in modules for each in vars(module).values() if isinstance(each, type)]
    return [each for each in found if issubclass(each, Strict) and each is not Strict]


def test_every_setting_is_read_somewhere_outside_its_checks():
    root = Path(whole.__file__).parents[1]
    sources = [path for path in root.rglob("*.py") if not path.name.startswith("checks")]
    nodes = (node for path in sources for node in ast.walk(ast.parse(path.read_text("utf-8"))))
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    settings = {f"{section.__name__}.{name}" for section in _sections() for name in section.model_fields}
    assert {setting for setting in settings if setting.rpartition(".")[2] not in read} == set()


def test_the_largest_epsilon_is_the_accountants():
    from audit.training.accounting import LARGEST_EPSILON

    bounds = Privacy.model_json_schema()["properties"]["epsilon"]["anyOf"][0]
    assert bounds["maximum"] == LARGEST_EPSILON


# ---- at a glance ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("a.csv", 'text,label\n"two\nlines",1\n\nb,2\n', 2),
        ("header.csv", "text,label\n", 0),
        ("a.jsonl", '{"a": 1}\n\n{"a": 2}\nno json\n', 3),
        ("a.txt", "a\nb\n", None),
    ],
)
def test_rows_are_counted_whether_they_can_be_used_or_not(tmp_path, name, content, rows):
    (tmp_path / name).write_text(content)
    assert rows_of(tmp_path / name) == rows


def test_of_very_many_rows_the_number_is_left_open(tmp_path, monkeypatch):
    monkeypatch.setattr("audit.settings.inspection.MOST_ROWS", 3)
    (tmp_path / "a.jsonl").write_text("{}\n" * 4)
    (tmp_path / "b.jsonl").write_text("{}\n" * 3)
    assert (rows_of(tmp_path / "a.jsonl"), rows_of(tmp_path / "b.jsonl")) == (None, 3)


@pytest.mark.parametrize(
    ("config", "context"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512}, 512),
        ({"model_type": "gpt2", "n_positions": 1024}, 1024),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "t5"}, None),
        ({"model_type": "xlnet", "max_position_embeddings": -1}, None),
    ],
)
def test_a_models_context_is_read_from_its_config(tmp_path, config, context):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert checkpoint_of(tmp_path).context == context


@pytest.mark.parametrize(
    ("stated", "classes", "fits"),
    [
        (("LABEL_0", "LABEL_1"), ("no", "yes"), True),
        (("no", "yes"), ("no", "yes"), True),
        (("yes", "no"), ("no", "yes"), False),
        (("LABEL_0", "LABEL_1"), ("a", "b", "c"), False),
    ],
)
def test_a_head_without_names_may_stand_for_any_classes_of_the_same_number(stated, classes, fits):
    assert (why_other_classes(stated, classes) is None) is fits
