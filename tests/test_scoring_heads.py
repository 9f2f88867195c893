"""How a vocabulary head is read, for heads of every kind."""

import numpy as np
import pytest
import torch

from probes.scoring.heads import LOGITS, Head
from probes.scoring.inference import batch, evaluating

SEQUENCES = [np.array([5, 6, 7, 8, 9]), np.array([10, 11, 12])]
ROWS, POSITIONS = np.array([0, 0, 1, 1]), np.array([3, 0, 2, 0])
TOKENS = np.array([[9], [6], [3], [11]])
SMALL = {"vocab_size": 100, "max_position_embeddings": 32}
ENCODER = {**SMALL, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
DECODER = {**ENCODER, "num_key_value_heads": 1, "head_dim": 8}


def make(name, **config):
    import transformers

    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = getattr(transformers, name)(getattr(transformers, CONFIGS[name])(**config))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return model


CONFIGS = {
    "BertForMaskedLM": "BertConfig",
    "RobertaForMaskedLM": "RobertaConfig",
    "DistilBertForMaskedLM": "DistilBertConfig",
    "AlbertForMaskedLM": "AlbertConfig",
    "GPT2LMHeadModel": "GPT2Config",
    "LlamaForCausalLM": "LlamaConfig",
    "Qwen2ForCausalLM": "Qwen2Config",
    "Gemma2ForCausalLM": "Gemma2Config",
    "GraniteForCausalLM": "GraniteConfig",
    "OPTForCausalLM": "OPTConfig",
}
GPT2 = {"vocab_size": 100, "n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2}
GPT2 |= {"bos_token_id": 0, "eos_token_id": 0}
DISTIL = {**SMALL, "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}
OPT = {**SMALL, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "ffn_dim": 32}

MODELS = {
    "BertForMaskedLM": (ENCODER, "gathered"),
    "RobertaForMaskedLM": (ENCODER, "gathered"),
    "DistilBertForMaskedLM": (DISTIL, "gathered"),
    "AlbertForMaskedLM": ({**ENCODER, "embedding_size": 8}, "gathered"),
    "GPT2LMHeadModel": (GPT2, "tiles"),
    "LlamaForCausalLM": (DECODER, "tiles"),
    "Qwen2ForCausalLM": (DECODER, "tiles"),
    "Gemma2ForCausalLM": ({**DECODER, "final_logit_softcapping": 2.0}, "gathered"),
    "GraniteForCausalLM": ({**ENCODER, "num_key_value_heads": 1, "logits_scaling": 3.0}, "gathered"),
    "OPTForCausalLM": ({**OPT, "word_embed_proj_dim": 8}, "tiles"),
}


# peft 0.21 asks transformers 5 by a name that is on its way out
from_peft = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


class Centred(torch.nn.Module):
    """A model whose logits at one position depend on all others after the body."""

    def __init__(self, model):
        super().__init__()
        self.model, self.config, self.base_model = model, model.config, model.base_model

    def get_output_embeddings(self):
        return None

    def get_input_embeddings(self):
        return self.model.get_input_embeddings()

    def forward(self, input_ids, **rest):
        output = self.model(input_ids=input_ids, **rest)
        output.logits = output.logits + output.logits.mean(dim=1, keepdim=True)
        return output


def log_softmax_of(model, inputs):
    with evaluating(model):
        logits = model(**inputs).logits
    return torch.log_softmax(logits[ROWS, POSITIONS].double(), dim=1)


def check(head, model):
    inputs = batch(SEQUENCES, 1, torch.device("cpu"))
    logp = log_softmax_of(model, inputs)
    with evaluating(model):
        found = head.moments(inputs, ROWS, POSITIONS, TOKENS)
    np.testing.assert_allclose(found.logprobs[:, 0], logp[np.arange(4), TOKENS[:, 0]], atol=1e-5)  # float32 logits
    np.testing.assert_allclose(found.means, (logp.exp() * logp).sum(dim=1), atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_every_head_gives_the_log_softmax_of_the_models_own_logits_the_cheapest_way(name):
    config, way = MODELS[name]
    model = make(name, **config)
    head = Head.of(model)
    assert head.way == way
    check(head, model)


@pytest.mark.parametrize("way", ["tiles", "gathered", "whole"])
def test_all_three_ways_agree_where_all_are_right(way):
    model = make("GPT2LMHeadModel", **GPT2)
    check(Head(model, way), model)


def test_a_model_whose_head_cannot_be_narrowed_is_read_from_its_own_logits(tiny_gpt2):
    model = Centred(tiny_gpt2[0])
    head = Head.of(model)
    assert head.way == "whole"
    check(head, model)


@from_peft
def test_an_adapter_around_a_model_counts():
    import peft

    base = make("GPT2LMHeadModel", **GPT2)
    config = peft.LoraConfig(target_modules=["c_attn"], init_lora_weights=False, fan_in_fan_out=True)
    model = peft.get_peft_model(base, config)
    head = Head.of(model)
    assert head.way == "tiles"
    check(head, model)


@from_peft
def test_an_adapter_on_the_head_itself_counts():
    import peft

    base = make("LlamaForCausalLM", **{**DECODER, "tie_word_embeddings": False})
    model = peft.get_peft_model(base, peft.LoraConfig(target_modules=["lm_head"], init_lora_weights=False))
    head = Head.of(model)
    assert head.way == "gathered"
    check(head, model)


def test_half_precision_models_are_read_in_float32_at_the_head():
    model = make("GPT2LMHeadModel", **GPT2).to(torch.bfloat16)
    head = Head.of(model)
    inputs = batch(SEQUENCES, 1, torch.device("cpu"))
    with evaluating(model):
        hidden = model.transformer(**inputs).last_hidden_state[ROWS, POSITIONS].double()
        found = head.moments(inputs, ROWS, POSITIONS, TOKENS)
    logp = torch.log_softmax(hidden @ model.lm_head.weight.detach().double().T, dim=1)
    assert head.way == "tiles"
    np.testing.assert_allclose(found.logprobs[:, 0], logp[np.arange(4), TOKENS[:, 0]], atol=1e-5)


def test_no_more_logits_are_held_than_the_limit_where_they_cannot_be_walked():
    model = make("BertForMaskedLM", **ENCODER)
    assert Head(model, "whole").most_positions == Head(model, "gathered").most_positions == LOGITS // 100
    assert Head(model, "tiles").most_positions > 10**9


def test_asking_leaves_training_flags_gradients_and_hooks_as_they_were():
    model = make("BertForMaskedLM", **ENCODER)
    model.train()
    model.bert.embeddings.eval()
    before = [module.training for module in model.modules()]
    with evaluating(model):
        assert not any(module.training for module in model.modules())
        assert not torch.is_grad_enabled()
    Head.of(model)
    with pytest.raises(ZeroDivisionError), evaluating(model):
        divmod(1, 0)
    assert [module.training for module in model.modules()] == before
    assert torch.is_grad_enabled()
    assert not any(module._forward_hooks for module in model.modules())
