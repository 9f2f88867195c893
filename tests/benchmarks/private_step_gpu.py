"""What privacy costs on a GPU: tokens a second of adapters on a large language model, private over standard.

A Llama of 1.2 billion random weights in bfloat16, frozen, with adapters in single precision on query and value, and
texts of 1,024 tokens. A step is one logical batch, noise on, fused AdamW in both arms; the head is fused with the loss
in both. The arms take turns. Smaller sizes, and the processor, are for trying the benchmark itself.

    python tests/benchmarks/private_step_gpu.py --json
    python tests/benchmarks/private_step_gpu.py --device cpu --width 64 --layers 2 --length 32 --repetitions 2
"""

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _printing import Figure, figure, report

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

BATCH, MICRO_BATCHES = 4, 8
VOCABULARY = 128_256
NORM, SIGMA = 1.0, 1.0
AIM = 1.10


def adapted_llama(arguments: argparse.Namespace) -> Any:
    """A Llama in bfloat16 whose adapters alone are trained."""
    import torch
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel
    from transformers import LlamaConfig, LlamaForCausalLM

    width = arguments.width
    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": arguments.layers}
    heads = {"num_attention_heads": max(1, width // 64), "num_key_value_heads": max(1, width // 256)}
    words = VOCABULARY if arguments.device == "cuda" else 1000
    torch.manual_seed(0)
    with torch.device(arguments.device):
        config = LlamaConfig(vocab_size=words, tie_word_embeddings=True, use_cache=False, **sizes, **heads)
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    adapters = LoraConfig(r=16, target_modules=["q_proj", "v_proj"])
    LoraModel(model, {"default": adapters}, "default", low_cpu_mem_usage=False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(".lora_" in name)
        if ".lora_" in name:
            parameter.data = parameter.data.float()
    return model.train()


def arm(model: Any, arguments: argparse.Namespace, is_private: bool) -> Callable[[], None]:
    """A function that takes one step."""
    import torch

    from audit.training.heads import inputs_of_head, output_head
    from audit.training.losses import causal_losses
    from audit.training.privacy import PrivateGradients
    from audit.training.randomness import SecretRandomness
    from audit.training.setup import StandardGradients
    from audit.training.witness import WitnessedOptimizer

    shape = (BATCH, arguments.length)
    ids = torch.randint(0, model.config.vocab_size, shape, generator=torch.Generator().manual_seed(1))
    ids = ids.to(arguments.device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "use_cache": False}
    head, trained = output_head(model, inputs), [p for p in model.parameters() if p.requires_grad]
    optimizer: Any = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    gradients: Any = StandardGradients()
    if is_private:
        gradients = PrivateGradients(model, NORM)
        optimizer = WitnessedOptimizer(
            optimizer,
            noise_multiplier=SIGMA,
            max_grad_norm=NORM,
            expected_batch_size=BATCH * MICRO_BATCHES,
            randomness=SecretRandomness(),
        )

    def step() -> None:
        for _ in range(MICRO_BATCHES):
            gradients.accumulate(
                lambda: causal_losses(inputs_of_head(model, head, inputs), ids, head=head),
                [1] * BATCH,
                BATCH * MICRO_BATCHES,
            )
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _seconds(step: Callable[[], None], device: str) -> float:
    import torch

    started = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """Private over standard, in time and in memory."""
    import torch

    model = adapted_llama(arguments)
    steps = {"standard": arm(model, arguments, False), "private": arm(copy.deepcopy(model), arguments, True)}
    taken: dict[str, list[float]] = {name: [] for name in steps}
    peaks: dict[str, float] = {}
    for turn in range(arguments.repetitions + 1):  # the first one warms up
        for name, step in steps.items():
            if arguments.device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            seconds = _seconds(step, arguments.device)
            taken[name] += [seconds] if turn else []
            if arguments.device == "cuda":
                peaks[name] = torch.cuda.max_memory_allocated() / 2**30
    medians = {name: statistics.median(each) for name, each in taken.items()}
    tokens = BATCH * MICRO_BATCHES * arguments.length
    for name, seconds in medians.items():
        print(f"        {name}: {tokens / seconds:,.0f} tokens a second", file=sys.stderr)
    where = torch.cuda.get_device_name() if arguments.device == "cuda" else "the processor"
    parameters = sum(p.numel() for p in model.parameters()) / 1e9
    name = f"time, private / standard, LoRA on {parameters:.2g} B weights in bfloat16, T={arguments.length}, {where}"
    yield figure(name, round(medians["private"] / medians["standard"], 3), "ratio", AIM)
    if peaks:
        # Both models lie on the device all the time: what the step itself needs is less apart than this ratio.
        print("        peak memory: " + ", ".join(f"{n} {gib:.1f} GiB" for n, gib in peaks.items()), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(
        report(
            "private_step_gpu",
            __doc__,
            figures,
            {"name": "--device", "default": "cuda", "help": "where to compute"},
            {"name": "--width", "type": int, "default": 2048, "help": "width of the hidden states"},
            {"name": "--layers", "type": int, "default": 16, "help": "number of layers"},
            {"name": "--length", "type": int, "default": 1024, "help": "tokens of a text"},
            {"name": "--repetitions", "type": int, "default": 5, "help": "turns of each arm"},
        )
    )
