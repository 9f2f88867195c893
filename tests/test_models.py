import json

import pytest

from audit.running.models import ModelError, check_classes, identity, load, longest, own_head, save, subject
from audit.settings.sections.models import Model, Task


def saved(pair, folder):
    model, tokenizer = pair
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Model(name=str(folder))


def test_a_saved_model_has_the_identity_it_had(tiny_bert_classifier, tmp_path):
    source = saved(tiny_bert_classifier, tmp_path / "a")
    first = load(source, "classifier", ("no", "yes"))
    save(first, tmp_path / "b")
    again = load(Model(name=str(tmp_path / "b")), "classifier", ("no", "yes"))
    assert identity(again, Task()) == identity(first, Task())


def test_one_changed_weight_is_another_identity(tiny_bert_classifier, tmp_path):
    loaded = load(saved(tiny_bert_classifier, tmp_path), "classifier", ("no", "yes"))
    before = identity(loaded, Task())
    next(loaded.model.parameters()).data.view(-1)[0] += 1e-6
    assert identity(loaded, Task()).weights != before.weights


def test_using_the_tokenizer_does_not_change_its_identity(tiny_bert_classifier, tmp_path):
    loaded = load(saved(tiny_bert_classifier, tmp_path), "classifier", ("no", "yes"))
    before = identity(loaded, Task())
    loaded.tokenizer(["a", "the man"], padding=True, truncation=True, max_length=4)
    assert identity(loaded, Task()) == before


def test_another_prompt_is_another_identity(tiny_gpt2, tmp_path):
    loaded = load(saved(tiny_gpt2, tmp_path), "causal")
    words = {"a": "good", "b": "bad"}
    one, other = (identity(loaded, Task(prompt=p, label_words=words)) for p in ("{text} was", "{text} is"))
    assert one.weights == other.weights
    assert one.template != other.template


def test_pickled_weights_are_refused(tiny_bert_classifier, tmp_path):
    source = saved(tiny_bert_classifier, tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"only pickled weights \(pytorch_model.bin\), which could run code; give"):
        load(source, "classifier", ("no", "yes"))


def test_code_from_elsewhere_is_refused(tiny_bert_classifier, tmp_path):
    source = saved(tiny_bert_classifier, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(ModelError, match="asks for code of its own"):
        load(source, "classifier", ("no", "yes"))


def test_a_folder_without_a_model_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no config.json in it, so it is no model's folder; give the folder"):
        load(Model(name=str(tmp_path / "empty")), "causal")


def test_a_head_that_is_not_there_is_new_or_refused_but_never_random_unasked(tiny_bert_masked, tmp_path):
    source = saved(tiny_bert_masked, tmp_path)
    with pytest.raises(ModelError, match=r"its weights lack .*, so as a classifier model it would answer at random"):
        load(source, "classifier", ("no", "yes"))
    assert load(source, "classifier", ("no", "yes"), new_head=True).model.config.num_labels == 2


def test_a_classifier_that_orders_its_classes_otherwise_is_refused(tiny_bert_classifier, tmp_path):
    tiny_bert_classifier[0].config.id2label = {0: "yes", 1: "no"}
    tiny_bert_classifier[0].config.label2id = {"yes": 0, "no": 1}
    source = saved(tiny_bert_classifier, tmp_path)
    check_classes(source, ("yes", "no"))
    with pytest.raises(ModelError, match="its classes are yes, no, and the task's are no, yes"):
        check_classes(source, ("no", "yes"))


def test_the_head_a_checkpoint_brings_is_read_from_its_config(request, tmp_path):
    pairs = [request.getfixturevalue(f"tiny_{kind}") for kind in ("bert_masked", "gpt2", "bert_classifier")]
    heads = [own_head(saved(pair, tmp_path / str(i))) for i, pair in enumerate(pairs)]
    assert heads == ["masked", "causal", None]


def test_a_subject_serves_what_its_head_can_answer(tiny_gpt2, tmp_path):
    loaded = load(saved(tiny_gpt2, tmp_path), "causal")
    limits = {"max_length": longest(Model(name="x", max_length=16), loaded), "batch_tokens": 64}
    task = Task(prompt="{text} was", label_words={"a": "good", "b": "bad"})
    plain, labelled = (subject("it", loaded, t, ("a", "b"), **limits) for t in (Task(), task))
    assert plain.token_scorer is not None
    assert plain.class_scorer is None
    assert next(labelled.need_classes().logits(["the man"])).shape == (1, 2)


def test_an_encoder_is_no_causal_model(tiny_bert_masked, tmp_path):
    with pytest.raises(ModelError, match="sees the words that come after, so it is no causal model"):
        load(saved(tiny_bert_masked, tmp_path), "causal")


def test_a_head_of_another_size_is_one_sentence(tiny_bert_classifier, tmp_path):
    with pytest.raises(ModelError, match="cannot be loaded as a classifier model"):
        load(saved(tiny_bert_classifier, tmp_path), "classifier", tuple("abcde"))


def test_a_head_with_more_classes_than_the_task_is_refused(tiny_bert_classifier, tmp_path):
    source = saved(tiny_bert_classifier, tmp_path)
    with pytest.raises(ModelError, match="its head has 2 classes, and the task has 3: a, b, c"):
        check_classes(source, ("a", "b", "c"))


def test_texts_longer_than_the_model_has_positions_for_are_refused(tiny_gpt2, tmp_path):
    source = saved(tiny_gpt2, tmp_path)
    assert longest(source, load(source, "causal")) == 64
    with pytest.raises(ModelError, match="has positions for 64 tokens; got max_length 65; write 64 or fewer"):
        load(source.model_copy(update={"max_length": 65}), "causal")
