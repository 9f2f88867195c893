"""Reading a config: what YAML says, what `--set` changes, and one clear sentence for everything that is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from audit.settings.config import AuditConfig, json_schema
from audit.settings.mistakes import ConfigError
from audit.settings.reading import Loaded, configs_folder, read
from audit.settings.sections.policy import Policy

SMALL = "model: world\ndata: {world: {}}\n"

GATE = "{id: a, kind: bound, metric: utility.accuracy, min: 0.5}"


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes, name: str = "audit.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def sentences(path: Path, *changes: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(path, changes)
    return [str(mistake).replace(f"{path.parent}/", "") for mistake in caught.value.mistakes]


# ---- what is wrong, in one sentence ---------------------------------------------------------------------------------

BAD = {
    "a misspelt key": ("training: {epoch: 3}", "audit.yaml:3: training.epoch: no such setting; did you mean 'epochs'?"),
    "a misspelt section": ("trainin: {epochs: 3}", "audit.yaml:3: trainin: no such setting; did you mean 'training'?"),
    "a key in the wrong section": (
        "delta: 1e-5",
        "audit.yaml:3: delta: no such setting; it belongs in 'arms.<name>.privacy'",
    ),
    "a key that belongs at the top": (
        "training: {deploy: dp}",
        "audit.yaml:3: training.deploy: no such setting; it belongs at the top level",
    ),
    "a key like no other": (
        "seeds:\n  colour: 3",
        "audit.yaml:4: seeds.colour: no such setting; there are coins, probe, training",
    ),
    "a misspelt key deep in an arm": (
        "arms:\n  dp:\n    training:\n      epoch: 3",
        "audit.yaml:6: arms.dp.training.epoch: no such setting; did you mean 'epochs'?",
    ),
    "a value out of range in an arm": (
        "arms: {dp: {training: {batch_size: 0}}}",
        "audit.yaml:3: arms.dp.training.batch_size: must be at least 1; got 0",
    ),
    "text for a number": (
        "training: {epochs: three}",
        "audit.yaml:3: training.epochs: must be a number; got 'three'",
    ),
    "a quoted number": (
        'training: {learning_rate: "1e-5"}',
        "audit.yaml:3: training.learning_rate: must be a number; got '1e-5'; write it without quotes",
    ),
    "a fraction for a count": (
        "arms: {standard: {seeds: 2.5}}",
        "audit.yaml:3: arms.standard.seeds: must be a whole number; got 2.5",
    ),
    "true for a count": ("compute: {threads: true}", "audit.yaml:3: compute.threads: must be a whole number; got true"),
    "no for false": (
        "training: {dropout: no}",
        "audit.yaml:3: training.dropout: must be true or false; got 'no'; "
        "YAML 1.2 reads it as text; write true or false",
    ),
    "a number for text": ("title: 7", "audit.yaml:3: title: must be text; got 7; write it in quotes"),
    "a date for text": ("title: 2026-11-24", "audit.yaml:3: title: must be text; got 2026-11-24; write it in quotes"),
    "a word that is not one of the choices": (
        "training: {optimizer: adamm}",
        "audit.yaml:3: training.optimizer: must be 'adamw' or 'sgd'; got 'adamm'; did you mean 'adamw'?",
    ),
    "a limit that is no number": (
        f"gates: {{name: p, version: 1, owner: o, gates: [{GATE.replace('0.5', '.nan')}]}}",
        "audit.yaml:3: gates.gates.0.min: must be a finite number; got nan",
    ),
    "an infinite epsilon": (
        "arms: {dp: {privacy: {epsilon: .inf}}}",
        "audit.yaml:3: arms.dp.privacy.epsilon: must be a finite number; got inf",
    ),
    "a seed below zero": ("seeds: {coins: -1}", "audit.yaml:3: seeds.coins: must be at least 0; got -1"),
    "neither epsilon nor noise": (
        "arms:\n  dp:\n    privacy: {delta: 1e-5}",
        "audit.yaml:5: arms.dp.privacy: give either epsilon or noise_multiplier, not both and not neither",
    ),
    "an unknown strategy": (
        "training: {strategy: heads}",
        "audit.yaml:3: training.strategy: must be 'full', 'head', 'lora' or 'bitfit'; got 'heads'; "
        "did you mean 'head'?",
    ),
    "a strategy of no known shape": (
        "training: {strategy: {freeze: 3}}",
        "audit.yaml:3: training.strategy: must be full, head, bitfit, lora, {frozen: layers}, "
        "{layer_decay: factor} or {lora: {r: …, alpha: …}}; got a mapping",
    ),
    "a misspelt key in a strategy": (
        "training: {strategy: {lora: {alfa: 3}}}",
        "audit.yaml:3: training.strategy.lora.alfa: no such setting; did you mean 'alpha'?",
    ),
    "an unknown decision": (
        "task: {decision: argmin}",
        "audit.yaml:3: task.decision: must be 'argmax'; got 'argmin'; did you mean 'argmax'?",
    ),
    "a threshold without a class": (
        "task: {decision: {threshold: 0.5}}",
        "audit.yaml:3: task.decision.class: is required",
    ),
    "gates of no known shape": (
        "gates: 3",
        "audit.yaml:3: gates: must be a policy, or the name or path of a file that holds one; got 3",
    ),
    "a policy that is not shipped": (
        "gates: predeploymnt",
        "audit.yaml:3: gates: must be the path of a .yaml file, or a policy that is shipped (predeployment); "
        "got 'predeploymnt'; did you mean 'predeployment'?",
    ),
    "a policy file that is absent": ("gates: mine.yaml", "audit.yaml:3: gates: no such file; got 'mine.yaml'"),
    "a policy without gates": (
        "gates: {name: p, version: 1, owner: o, gates: []}",
        "audit.yaml:3: gates.gates: must not be empty",
    ),
    "a version that loses a digit": (
        f"gates: {{name: p, version: 1.10, owner: o, gates: [{GATE}]}}",
        "audit.yaml:3: gates.version: must be a whole number, or text in quotes; got 1.1",
    ),
    "a bound without a limit": (
        "gates:\n  name: p\n  version: 1\n  owner: o\n  gates:\n    - {id: a, kind: bound, metric: utility.accuracy}",
        "audit.yaml:8: gates.gates.0: a bound needs either max or min",
    ),
    "no arm at all": ("arms: {}", "audit.yaml:3: arms: must not be empty"),
    "a list for a mapping": ("arms: [base, dp]", "audit.yaml:3: arms: must be a mapping of keys to values; got a list"),
    "a text for a list": ("task: {classes: positive}", "audit.yaml:3: task.classes: must be a list; got 'positive'"),
    "a key that is a number": ("2: 3", "audit.yaml:3: 2: a key must be text; got 2; write it in quotes"),
    "a key that stands twice": (
        "training:\n  epochs: 3\n  epochs: 4",
        "audit.yaml:5: training.epochs: stands twice, first in line 4; keep one of them",
    ),
    "an undefined variable": (
        "arms: {theirs: {given: '${NO_SUCH_VARIABLE}/model'}}",
        "audit.yaml:3: arms.theirs.given: names the environment variable NO_SUCH_VARIABLE, which is not set; "
        "export NO_SUCH_VARIABLE=… or write the path",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_gives_one_sentence_with_file_line_key_and_remedy(write, case):
    text, sentence = BAD[case]
    assert sentences(write(SMALL + text)) == [sentence]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "audit.yaml: holds no settings"),
        (b"# only a comment\n", "audit.yaml: holds no settings"),
        (b"- a\n- b\n", "audit.yaml: must be a mapping of keys to values; got a list"),
        (b"title: a\ndata: {x: caf\xe9}\n", "audit.yaml:2: must be UTF-8 text; got the byte 0xe9; save it as UTF-8"),
        ("title: a\n".encode("utf-16"), "audit.yaml:1: must be UTF-8 text; got the byte 0xff; save it as UTF-8"),
        (b"title: a\n  model: b\n", "audit.yaml:2: is not YAML: mapping values are not allowed here"),
        (b"a: &x [*x]\n", "audit.yaml:1: is not YAML: an alias stands for what it is a part of"),
        (b"a: !!python/object:os.system x\n", "audit.yaml:1: is not YAML: could not determine a constructor"),
        (b"a: 1\n---\nb: 2\n", "audit.yaml:2: is not YAML: expected a single document"),
        (b"a: \x01\n", "audit.yaml: is not YAML: unacceptable character"),
        (b"a: " + b"[" * 3000, "audit.yaml: is not YAML: it is nested too deeply"),
        (b"a: 2026-13-45\n", "audit.yaml: is not YAML: month must be in"),
    ],
)
def test_a_file_that_gives_no_settings_gives_one_sentence(write, content, sentence):
    (said,) = sentences(write(content))
    assert said.startswith(sentence)


def test_a_file_that_is_absent_says_what_writes_one(tmp_path):
    assert sentences(tmp_path / "audit.yaml") == ["audit.yaml: no such file; 'audit init' writes a first one"]


def test_a_folder_is_no_config(tmp_path):
    assert sentences(tmp_path)[0].endswith("cannot be read (Is a directory)")


def test_all_mistakes_come_at_once_in_the_order_of_their_lines(write):
    path = write("titel: x\ndata: {fil: y}\nseeds: {coins: 1, coins: 2}\n")
    assert [s.partition(": ")[2].partition(":")[0] for s in sentences(path)] == [
        "model",
        "titel",
        "data.fil",
        "seeds.coins",
    ]


def test_mistakes_in_a_policys_own_file_name_that_file(write):
    write("name: p\nversion: 1\nowner: o\ngates:\n  - {id: a, kind: bond, metric: m}\n", "mine.yaml")
    said = sentences(write(SMALL + "gates: mine.yaml\nseeds: 3\n"))
    assert said == [
        "audit.yaml:4: seeds: must be a mapping of keys to values; got 3",
        "mine.yaml:5: gates.0.kind: must be 'bound', 'noninferior' or 'no_regression'; got 'bond'; "
        "did you mean 'bound'?",
    ]


# ---- what is right --------------------------------------------------------------------------------------------------


def test_a_small_float_is_a_number_and_no_is_a_word(write):
    config = read(write(SMALL + "title: no\narms: {dp: {privacy: {epsilon: 8, delta: 1e-5}}}\n")).config
    assert config.title == "no"
    assert config.arms["dp"].privacy is not None
    assert config.arms["dp"].privacy.delta == 1e-5


def test_a_whole_number_where_a_fraction_may_stand_is_the_same_setting(write):
    configs = [read(write(SMALL + f"training: {{epochs: {epochs}}}\n")).config for epochs in ("3", "3.0")]
    silent = read(write(SMALL)).config
    assert {json.dumps(c.training.model_dump()) for c in [*configs, silent]} == {
        json.dumps(silent.training.model_dump())
    }


def test_a_section_with_nothing_in_it_is_silent(write):
    config = read(write(SMALL + "training:\narms:\n  base:\n  standard:\nprobes:\n  utility:\n")).config
    assert list(config.arms) == ["base", "standard"]
    assert config.probes == {"utility": {}}


def test_labels_that_are_numbers_or_truth_values_are_read_as_text(write):
    names = read(write("model: m\ndata: {file: d.csv, label_names: {0: no, true: yes}}\n")).config.data.label_names
    assert names == {"0": "no", "true": "yes"}


def test_what_differs_in_an_arm_is_kept_as_written(write):
    config = read(write(SMALL + "training: {epochs: 5}\narms: {dp: {training: {strategy: {lora: {r: 4}}}}}\n")).config
    assert config.arms["dp"].training == {"strategy": {"lora": {"r": 4}}}
    assert config.training_of("dp").epochs == 5.0
    assert AuditConfig.model_validate(config.model_dump(mode="json")) == config


def test_anchors_and_merge_keys_work(write):
    config = read(write(SMALL + "arms:\n  a: &a {seeds: 3}\n  b:\n    <<: *a\n    role: control\n")).config
    assert (config.arms["b"].seeds, config.arms["b"].role) == (3, "control")


def test_a_byte_order_mark_is_no_part_of_the_first_key(write):
    assert read(write(b"\xef\xbb\xbf" + SMALL.encode())).config.model.name == "world"


def test_paths_are_relative_to_the_config_and_stay_as_written_beside(write, tmp_path, monkeypatch):
    monkeypatch.setenv("WHERE", "inner")
    (tmp_path / "models").mkdir()
    text = "model: models\ndata: {file: '${WHERE}/d.csv', domains: {b: {file: b.csv}}}\narms: {x: {given: ./x}}\n"
    loaded = read(write(text))
    assert loaded.config.model.name == str(tmp_path / "models")
    assert loaded.config.data.file == str(tmp_path / "inner" / "d.csv")
    assert loaded.config.data.domains["b"].file == str(tmp_path / "b.csv")
    assert loaded.config.arms["x"].given == str(tmp_path / "x")
    assert loaded.as_written.data.file == "${WHERE}/d.csv"
    assert loaded.as_written.model.name == "models"


@pytest.mark.parametrize("changes", [(), ("model.max_length=8",)])
def test_a_model_on_the_hub_is_named_with_its_commit_in_one_word(write, tmp_path, changes):
    (tmp_path / "org").mkdir()
    (tmp_path / "org" / "name").mkdir()
    short = read(write(f"model: org/name@{'a' * 40}\ndata: {{world: {{}}}}\n"), changes)
    long = read(write(f"model: {{name: org/name, revision: {'a' * 40}}}\ndata: {{world: {{}}}}\n"), changes)
    assert short.config == long.config
    assert short.as_written == long.as_written
    assert (short.config.model.name, short.config.model.revision) == ("org/name", "a" * 40)


@pytest.mark.parametrize("written", ["./org@work", "/models/a@b", "~/a@b"])
def test_what_looks_like_a_folder_is_one_whatever_signs_are_in_it(write, written):
    model = read(write(f"model: {written}\ndata: {{world: {{}}}}\n")).config.model
    assert (Path(model.name).is_absolute(), model.revision) == (True, None)
    assert "@" in model.name


def test_a_name_with_a_revision_is_on_the_hub_even_where_a_folder_has_that_name(write, tmp_path):
    (tmp_path / "gpt2").mkdir()
    assert (
        read(write(f"model: {{name: gpt2, revision: {'a' * 40}}}\ndata: {{world: {{}}}}\n")).config.model.name == "gpt2"
    )


def test_a_variable_outside_paths_is_text(write, monkeypatch):
    monkeypatch.setenv("WHERE", "inner")
    assert read(write(SMALL + "title: ${WHERE}\n")).config.title == "${WHERE}"


@pytest.mark.parametrize("named", ["predeployment", "mine.yaml", f"{{name: p, version: 1, owner: o, gates: [{GATE}]}}"])
def test_gates_are_a_shipped_policy_a_file_or_written_out(write, named):
    write(f"name: p\nversion: 1\nowner: o\ngates: [{GATE}]\n", "mine.yaml")
    assert isinstance(read(write(SMALL + f"gates: {named}\n")).config.gates, Policy)


# ---- --set ----------------------------------------------------------------------------------------------------------


def changed(path: Path, *changes: str) -> Loaded:
    return read(path, changes)


def test_a_change_is_read_as_yaml_and_recorded(write):
    loaded = changed(write(SMALL), "training.epochs=1e-1", "title=no", "data.world.pool=50")
    assert (loaded.config.training.epochs, loaded.config.title, loaded.config.data.world.pool) == (0.1, "no", 50)
    assert loaded.changes == ("training.epochs=1e-1", "title=no", "data.world.pool=50")


def test_a_change_reaches_into_lists_and_short_forms(write):
    text = "model: gpt2\ndata: {file: d.csv, canaries: [{kind: random, count: 5}], label_names: {0: a}}\n"
    config = changed(write(text), "data.canaries.0.count=9", "model.max_length=8", "data.label_names.0=b").config
    assert (config.data.canaries[0].count, config.model.max_length) == (9, 8)
    assert config.data.label_names == {"0": "b"}


def test_a_change_of_one_arm_keeps_the_others_that_hold_by_default(write):
    config = changed(write(SMALL), "arms.dp.privacy.epsilon=3").config
    assert list(config.arms) == ["base", "standard", "dp"]
    assert config.arms["dp"].privacy.epsilon == 3.0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("training.epoch=3", "training.epoch: no such setting; did you mean 'epochs'?"),
        ("trainin.epochs=3", "trainin: no such setting; did you mean 'training'?"),
        ("training.epochs=many", "training.epochs: must be a number; got 'many'"),
        ("training.epochs", "must have the form key.path=value"),
        ("training..epochs=3", "must have the form key.path=value"),
        ("title=[", "its value is not YAML (while parsing a flow node); quote what is special to YAML"),
        ("title.first=3", "'title' is 'a', so there is no 'first' in it"),
        ("data.canaries.1.count=3", "'data.canaries' is a list of 0, so there is no '1' in it"),
        (
            "probes.utility.draws=3",
            "the file names no probes, so all that fit are on; name in it those that shall be on",
        ),
    ],
)
def test_a_change_that_cannot_be_made_names_itself(write, change, sentence):
    path = write("model: world\ntitle: a\ndata: {world: {}, canaries: []}\n")
    assert sentences(path, change) == [f"--set {change}: {sentence}"]


# ---- what is shipped ------------------------------------------------------------------------------------------------

SHIPPED = sorted(path.stem for path in configs_folder().glob("*.yaml"))


def test_the_committed_schema_is_the_generated_one():
    committed = json.loads((configs_folder() / "schema" / "audit.schema.json").read_text("utf-8"))
    assert committed == json_schema()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_config_can_be_read_and_fits_the_schema(name, monkeypatch):
    import jsonschema
    from ruamel.yaml import YAML

    monkeypatch.setenv("AUDIT_SHARED", "/nowhere")
    path = configs_folder() / f"{name}.yaml"
    assert read(path).config.deploy in read(path).config.arms
    jsonschema.validate(YAML(typ="safe", pure=True).load(path), json_schema())
    assert path.read_text("utf-8").startswith("# yaml-language-server: $schema=schema/audit.schema.json\n")


def test_every_limit_of_the_shipped_policy_says_that_it_is_a_starting_point():
    policy = read(configs_folder() / "sst2_distilbert.yaml").config.gates
    assert all("starting point to be replaced" in (gate.source or "") for gate in policy.gates)


def test_reading_and_checking_import_neither_torch_nor_other_heavy_libraries():
    program = (
        "import sys, audit.settings.reading, audit.settings.validate, audit.settings.starter; "
        "heavy = {'torch', 'transformers', 'datasets', 'opacus', 'pandas', 'scipy', 'numpy', 'pyarrow'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
