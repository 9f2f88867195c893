"""Tiny models of every supported architecture, and what book-keeping must agree with: a loop over single examples."""

import copy
import math

import torch
import transformers
from torch.overrides import TorchFunctionMode

from audit.training.bookkeeping import SUPPORTED, Bookkeeping
from audit.training.clipping import layers_of
from audit.training.heads import inputs_of_head, output_head
from audit.training.losses import IGNORED, causal_losses, classification_losses, masked_losses

VOCABULARY, CLASSES, WIDTH = 29, 3, 16
LENGTHS = (7, 4, 6, 2, 5)
B, T = len(LENGTHS), max(LENGTHS)
LANGUAGE = ("ForMaskedLM", "ForCausalLM", "LMHeadModel", "ForConditionalGeneration")

_COMMON = {"vocab_size": VOCABULARY, "pad_token_id": 0}
_BERT = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
}
_DECODER = {**_BERT, "num_key_value_heads": 1, "head_dim": 8, "bos_token_id": 1, "eos_token_id": 1}
CONFIGS = {
    "Albert": {**_BERT, "embedding_size": 8},
    "Bert": _BERT,
    "DistilBert": {"dim": WIDTH, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 16},
    "GPT2": {"n_embd": WIDTH, "n_layer": 2, "n_head": 2, "n_positions": 16, "bos_token_id": 1, "eos_token_id": 1},
    "Llama": {**_DECODER, "attention_bias": True},
    "Mistral": {**_DECODER, "sliding_window": 4},
    "Qwen2": _DECODER,
    "Qwen3": _DECODER,
    "Roberta": _BERT,
    "T5": {
        "d_model": WIDTH,
        "d_kv": 8,
        "d_ff": 24,
        "num_layers": 2,
        "num_heads": 2,
        "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 6,
        "feed_forward_proj": "gated-gelu",
        "eos_token_id": 1,
        "decoder_start_token_id": 0,
    },
    "XLMRoberta": _BERT,
}
NAMES = [family + task for family, tasks in SUPPORTED.items() for task in tasks]


def family_and_task(name):
    return next((f, name.removeprefix(f)) for f, tasks in SUPPORTED.items() if name.removeprefix(f) in tasks)


def build(name, attention="sdpa", dtype=torch.float64, **more):
    """A model whose every parameter has a visible gradient, the same at every call, without dropout."""
    family, task = family_and_task(name)
    config = getattr(transformers, f"{family}Config")
    classes = {"num_labels": 2 if task == "ForQuestionAnswering" else CLASSES}
    values = {**_COMMON, **CONFIGS[family], **classes, **more}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = getattr(transformers, name)(config(**values, attn_implementation=attention)).to(dtype).eval()
        for parameter in model.parameters():  # biases and normalization away from 0 and 1
            parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def make_batch(name, padding="right", seed=0):
    """Ids with repeated tokens, mask, labels and factors of the losses; the fourth example has a gradient of zero."""
    _, task = family_and_task(name)
    generator = torch.Generator().manual_seed(seed)
    ids, mask = torch.zeros(B, T, dtype=torch.long), torch.zeros(B, T, dtype=torch.long)
    for row, length in enumerate(LENGTHS):
        place = slice(0, length) if padding == "right" else slice(T - length, T)
        ids[row, place] = torch.randint(2, 9, (length,), generator=generator)  # few words, so that many repeat
        ids[row, place.stop - 1] = 1  # T5 classifies at the token that ends a text
        mask[row, place] = 1
    classes = torch.randint(0, CLASSES, (B, T), generator=generator)
    if task == "ForSequenceClassification":
        labels = classes[:, 0]
    elif task == "ForQuestionAnswering":
        start = mask.argmax(dim=1)
        labels = torch.stack([start, start + torch.tensor(LENGTHS) // 2], dim=1)
    else:
        labels = torch.where(mask.bool(), ids if task in LANGUAGE else classes, IGNORED)
        if task == "ForMaskedLM":
            labels = torch.where(torch.rand(B, T, generator=generator) < 0.5, labels, IGNORED)
        labels[3] = IGNORED
    return ids, mask, labels, (torch.arange(B) != 3).double()


def losses_of(model, name, batch, fused=False):
    """One loss per example; with `fused`, by the head that scores labelled positions only."""
    ids, mask, labels, factors = batch
    _, task = family_and_task(name)
    inputs = {"input_ids": ids, "attention_mask": mask}
    if name == "T5ForConditionalGeneration":
        inputs["decoder_input_ids"] = torch.cat([torch.zeros_like(labels[:, :1]), labels[:, :-1].clamp(min=0)], dim=1)
    if hasattr(model.config, "use_cache"):
        inputs["use_cache"] = False
    head = output_head(model, inputs) if fused and task in LANGUAGE else None
    if head is not None:
        outputs = inputs_of_head(model, head, inputs)
    else:
        found = model(**inputs)
        if task == "ForQuestionAnswering":
            ends = [found.start_logits, found.end_logits]
            masked = [end.masked_fill(mask == 0, -torch.inf) for end in ends]
            return factors * sum(classification_losses(end, labels[:, i]) for i, end in enumerate(masked))
        outputs = found.last_hidden_state[..., :CLASSES] if task == "EncoderModel" else found.logits
    if task == "ForSequenceClassification":
        return factors * classification_losses(outputs, labels)
    ask = causal_losses if task in ("ForCausalLM", "LMHeadModel") else masked_losses
    return ask(outputs, labels, head=head)


class DoubleThroughout(TorchFunctionMode):
    """Models ask for single precision in some places; inside, they get double."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is torch.Tensor.float:
            return args[0].double()
        wider = {torch.float32: torch.float64}
        args = tuple(wider.get(a, a) if isinstance(a, torch.dtype) else a for a in args)
        named = {k: wider.get(v, v) if isinstance(v, torch.dtype) else v for k, v in (kwargs or {}).items()}
        return function(*args, **named)


def alone(batch, row, padding):
    """One example of a batch, without its padding where that stands on the right."""
    ids, *_ = columns = tuple(column[row : row + 1] for column in batch)
    if padding == "left":
        return columns
    return tuple(c[:, : LENGTHS[row % B]] if c.shape == ids.shape and c.dim() == 2 else c for c in columns)


def one_at_a_time(model, name, batch, padding="right"):
    """Each example's gradient by ordinary autograd: norms (B,), and gradients by name."""
    model = copy.deepcopy(model)
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    found = []
    for row in range(len(batch[0])):
        model.zero_grad(set_to_none=True)
        losses_of(model, name, alone(batch, row, padding)).sum().backward()
        found.append({n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in parameters.items()})
    norms = torch.stack([torch.sqrt(sum(g.square().sum() for g in each.values())) for each in found])
    return norms, found


def flat_sum(norms, found, max_grad_norm):
    """The sum of the gradients, each clipped as a whole."""
    factors = [min(1.0, max_grad_norm / (float(norm) + 1e-6)) for norm in norms]
    return {n: sum(c * each[n] for c, each in zip(factors, found, strict=True)) for n in found[0]}


def clipped_sum(model, found, limit, clipping):
    """The sum by any clipping, the slow way: one unit after the other, one layer after the other."""
    names = {id(p): n for n, p in model.named_parameters()}
    layers: dict[int, list[str]] = {}
    for identity, group in layers_of(model, clipping).items():
        layers.setdefault(group, []).append(names[identity])
    total = {n: torch.zeros_like(g) for n, g in found[0].items()}
    for gradients in found:
        for members in layers.values():
            norm = math.sqrt(sum(float(gradients[n].square().sum()) for n in members))
            factor = min(1.0, limit / math.sqrt(len(layers)) / (norm + 1e-6))
            factor = limit / (norm + 0.01) if clipping == "automatic" else factor
            for n in members:
                total[n] += factor * gradients[n]
    return total


def assert_exact(model, name, batch, *, padding="right", max_grad_norm=0.7, splits=(B,), tolerance=1e-8, fused=True):
    """Norms and clipped sum are those of single examples, within a relative error."""
    expected_norms, found = one_at_a_time(model, name, batch, padding)
    expected = flat_sum(expected_norms, found, max_grad_norm)
    books = Bookkeeping(model, max_grad_norm)
    norms = [
        books.accumulate(lambda part=part: losses_of(model, name, part, fused), len(part[0]))[1]
        for part in zip(*(column.split(splits) for column in batch), strict=True)
    ]
    assert expected_norms[3] == 0 < expected_norms[0]
    torch.testing.assert_close(torch.cat(norms), expected_norms, rtol=tolerance, atol=tolerance * 1e-3)
    scale = torch.sqrt(sum(g.square().sum() for g in expected.values()))
    for n, parameter in model.named_parameters():
        if parameter.requires_grad:
            error = (parameter.summed_grad - expected[n]).norm()
            # The second part is for sums that are zero in exact arithmetic, such as that of a key's bias.
            assert error <= tolerance * expected[n].norm() + 1e-3 * tolerance * scale, (n, float(error))
        assert parameter.grad is None
