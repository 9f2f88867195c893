"""What privacy costs in a training step: time and memory of the private step over the standard one, and of Opacus'.

A step is one logical batch of 8 micro-batches of 16 texts, noise on, fused AdamW in every arm; the standard arm has the
same losses and the same fused head. Its time is the median of a first micro-batch, which makes room for the sums, 7
times that of a later one, and that of what ends a step (noise, optimizer), in CPU time of one thread; the arms take
turns, so that whatever else the machine does falls on all of them. Memory is the largest resident size of a process
that takes one step of two micro-batches and nothing else.

Beside each ratio stands the floor that counting gives: multiply-adds of the standard step, and over them those of the
norms (lower triangles, inputs that layers share counted once, or the gradients of single examples where they cost
less). Noise and all that is not a matrix product is not in it.

    python tests/benchmarks/private_step.py --json
    python tests/benchmarks/private_step.py --shapes bert --lengths 64 --repetitions 3
"""

import argparse
import copy
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _printing import Figure, figure, report

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

BATCH, MICRO_BATCHES = 16, 8
LAYERS = 6
NORM, SIGMA = 1.0, 1.0
ARMS = ("standard", "ours", "opacus hooks", "opacus ghost")


@dataclass(frozen=True)
class Case:
    """One model shape, length and way of training."""

    shape: str
    length: int
    lora: bool

    @property
    def name(self) -> str:
        """For people."""
        return f"{'LoRA' if self.lora else 'full'}, {SHAPES[self.shape]}, T={self.length}"

    @property
    def time_aim(self) -> float | None:
        """The largest ratio aimed at, or None where only the floor is told."""
        if self.lora:
            return 1.05
        if self.shape == "bert768":
            return 1.15
        return {32: 1.20, 64: 1.20, 128: 1.25}.get(self.length)

    @property
    def memory_aim(self) -> float | None:
        """Likewise, of memory."""
        return {32: 1.3, 64: 1.3, 128: 1.4}.get(self.length)


SHAPES = {"bert": "BERT 6 × 384", "bert768": "BERT 6 × 768", "gpt2": "GPT-2 6 × 384 (tied)"}


def model_of(case: Case) -> Any:
    """A model of random weights, `requires_grad` set."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    if case.shape == "gpt2":
        tokens = {"bos_token_id": 0, "eos_token_id": 0}
        model: Any = GPT2LMHeadModel(GPT2Config(n_embd=384, n_layer=LAYERS, n_head=12, n_positions=512, **tokens))
    else:
        width = 768 if case.shape == "bert768" else 384
        sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": LAYERS}
        model = BertForSequenceClassification(BertConfig(num_attention_heads=12, **sizes))
    if case.lora:
        from peft import LoraConfig
        from peft.tuners.lora import LoraModel

        targets = ["c_attn"] if case.shape == "gpt2" else ["query", "value"]
        transposed = case.shape == "gpt2"
        LoraModel(model, {"default": LoraConfig(r=8, target_modules=targets, fan_in_fan_out=transposed)}, "default")
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(".lora_" in name or name.startswith(("classifier", "bert.pooler")))
    return model.train()


def inputs_of(case: Case) -> tuple[dict[str, Any], Any]:
    """A micro-batch without padding: what the model is called with, and labels. Every id has a row for each text."""
    import torch

    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(1000, 30_000, (BATCH, case.length), generator=generator)
    places = torch.arange(case.length).expand(BATCH, -1).contiguous()
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "position_ids": places}
    if case.shape == "gpt2":
        return {**inputs, "use_cache": False}, ids
    return {**inputs, "token_type_ids": torch.zeros_like(ids)}, torch.randint(0, 2, (BATCH,), generator=generator)


def losses_of(model: Any, case: Case, inputs: dict[str, Any], labels: Any, head: Any = None) -> Any:
    """One loss per text; with `head`, fused with it."""
    from audit.training.heads import inputs_of_head
    from audit.training.losses import causal_losses, classification_losses

    if head is not None:
        return causal_losses(inputs_of_head(model, head, inputs), labels, head=head)
    logits = model(**inputs).logits
    return causal_losses(logits, labels) if case.shape == "gpt2" else classification_losses(logits, labels)


Arm = tuple[Callable[[], object], Callable[[], object]]
"""What computes a micro-batch, and what ends a step."""


def fused_adamw(model: Any) -> Any:
    """The optimizer of every arm."""
    import torch

    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5, fused=True)


def standard(model: Any, case: Case) -> Arm:
    """The step without privacy."""
    from audit.training.heads import output_head
    from audit.training.setup import StandardGradients

    inputs, labels = inputs_of(case)
    head = output_head(model, inputs) if case.shape == "gpt2" else None
    optimizer, gradients = fused_adamw(model), StandardGradients()

    def end() -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return lambda: gradients.accumulate(
        lambda: losses_of(model, case, inputs, labels, head), [1] * BATCH, BATCH * MICRO_BATCHES
    ), end


def ours(model: Any, case: Case) -> Arm:
    """The private step of this project, with noise nobody can repeat."""
    from audit.training.heads import output_head
    from audit.training.privacy import PrivateGradients
    from audit.training.randomness import SecretRandomness
    from audit.training.witness import WitnessedOptimizer

    inputs, labels = inputs_of(case)
    head = output_head(model, inputs) if case.shape == "gpt2" else None
    gradients = PrivateGradients(model, NORM)
    optimizer = WitnessedOptimizer(
        fused_adamw(model),
        noise_multiplier=SIGMA,
        max_grad_norm=NORM,
        expected_batch_size=BATCH * MICRO_BATCHES,
        randomness=SecretRandomness(),
    )

    def end() -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return lambda: gradients.accumulate(
        lambda: losses_of(model, case, inputs, labels, head), [1] * BATCH, BATCH * MICRO_BATCHES
    ), end


def opacus_hooks(model: Any, case: Case) -> Arm:
    """Opacus' gradients of single examples; position ids are given with a row for each text, which it needs."""
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    inputs, labels = inputs_of(case)
    wrapped = GradSampleModule(model)
    optimizer = DPOptimizer(
        fused_adamw(model), noise_multiplier=SIGMA, max_grad_norm=NORM, expected_batch_size=BATCH * MICRO_BATCHES
    )

    def micro() -> None:
        losses_of(wrapped, case, inputs, labels).mean().backward()
        _opacus_accumulate(optimizer)

    return micro, lambda: _opacus_end(optimizer)


def opacus_ghost(model: Any, case: Case) -> Arm:
    """Opacus' ghost clipping: two backward passes."""
    from opacus.grad_sample import GradSampleModuleFastGradientClipping
    from opacus.optimizers import DPOptimizerFastGradientClipping
    from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping

    inputs, labels = inputs_of(case)
    wrapped = GradSampleModuleFastGradientClipping(model, max_grad_norm=NORM, use_ghost_clipping=True)
    optimizer = DPOptimizerFastGradientClipping(
        fused_adamw(model), noise_multiplier=SIGMA, max_grad_norm=NORM, expected_batch_size=BATCH * MICRO_BATCHES
    )

    def micro() -> None:
        losses = losses_of(wrapped, case, inputs, labels)
        DPTensorFastGradientClipping(wrapped, optimizer, losses).backward()
        wrapped.enable_hooks()
        _opacus_accumulate(optimizer)

    return micro, lambda: _opacus_end(optimizer)


def _opacus_accumulate(optimizer: Any) -> None:
    """What Opacus' optimizer does after a micro-batch that does not end the step."""
    optimizer.signal_skip_step(True)
    optimizer.pre_step()
    optimizer.zero_grad(set_to_none=True)


def _opacus_end(optimizer: Any) -> None:
    optimizer.add_noise()
    optimizer.original_optimizer.step()
    for parameter in optimizer.params:
        parameter.grad = parameter.summed_grad = parameter.grad_sample = None


MAKERS = dict(zip(ARMS, (standard, ours, opacus_hooks, opacus_ghost), strict=True))


def step_seconds(case: Case, repetitions: int) -> dict[str, float]:
    """CPU time of a step of each arm that can be trained; what cannot says why."""
    model, arms = model_of(case), {}
    for name, make in MAKERS.items():
        try:
            micro, end = make(copy.deepcopy(model), case)
            micro()  # the first one warms up
            end()
            arms[name] = micro, end
        except Exception as error:  # a peer may fail in any way, and that is a result
            print(f"        {case.name}: {name} cannot be trained: {str(error).splitlines()[0]}", file=sys.stderr)
            if name in ("standard", "ours"):
                raise
    taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in arms}
    for _ in range(repetitions):
        for name, (micro, end) in arms.items():
            taken[name].append(tuple(_seconds(part) for part in (micro, micro, end)))
    medians = {name: [statistics.median(part) for part in zip(*parts, strict=True)] for name, parts in taken.items()}
    return {name: first + (MICRO_BATCHES - 1) * later + end for name, (first, later, end) in medians.items()}


def _seconds(part: Callable[[], object]) -> float:
    started = time.process_time()
    part()
    return time.process_time() - started


def peak_megabytes(case: Case, arm: str) -> float:
    """Peak resident memory of a process with this arm alone."""
    asked = [sys.executable, __file__, "--alone", arm, case.shape, str(case.length), str(int(case.lora))]
    return float(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)


def _alone(arm: str, shape: str, length: str, lora: str) -> None:
    import torch

    torch.set_num_threads(1)
    case = Case(shape, int(length), bool(int(lora)))
    micro, end = MAKERS[arm](model_of(case), case)
    for part in (micro, micro, end):
        part()
    # What the operating system calls the largest size of a child counts the process that it was forked from.
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(int(peak.split()[1]) / 1024)


def floor_of(case: Case) -> float:
    """The least that the private step can cost over the standard one, counted in multiply-adds per position."""
    from audit.training.per_example import _COST_LARGE

    length, model = case.length, model_of(case)
    width = 768 if case.shape == "bert768" else 384
    plain = LAYERS * 6.0 * length * width  # scores and values of attention, forward and back
    extra, inputs = 0.0, set()
    for name, layer in model.named_modules():
        weight = getattr(layer, "weight", None)
        if weight is None or weight.dim() != 2 or "embeddings" in name or name.endswith(("wte", "wpe")):
            continue
        positions = 1.0 / length if name.endswith(("classifier", "pooler.dense")) else 1.0
        plain += positions * weight.numel() * (3 if weight.requires_grad else 2)
        if weight.requires_grad and positions == 1.0:
            # Query, key and value read one input, whose matrix is made once.
            shares = name.endswith(("key", "value")) and name.rpartition(".")[0] in inputs
            inputs.add(name.rpartition(".")[0])
            sides = weight.shape[0] if shares else sum(weight.shape)
            extra += min(length / 2 * sides, _COST_LARGE * weight.numel() / length)
    return 1 + extra / plain


def compared(case: Case, repetitions: int) -> Iterator[Figure]:
    """The figures of one case."""
    seconds = step_seconds(case, repetitions)
    _tell(case, "seconds a step", seconds)
    memory = {name: peak_megabytes(case, name) for name in seconds}
    _tell(case, "megabytes", memory)
    floor, ratio = floor_of(case), round(seconds["ours"] / seconds["standard"], 3)
    if case.time_aim is None:
        print(f"        {case.name}: floor {floor:.2f}, no aim", file=sys.stderr)
    else:
        yield figure(f"time, ours / standard, {case.name} (floor {floor:.2f})", ratio, "ratio", case.time_aim)
    if case.memory_aim is not None:
        name = f"memory, ours / standard, {case.name}"
        yield figure(name, round(memory["ours"] / memory["standard"], 2), "ratio", case.memory_aim)
    peers = [seconds[name] for name in ARMS[2:] if name in seconds]
    if peers:
        name = f"time, ours / the fastest of Opacus' modes, {case.name}"
        yield figure(name, round(seconds["ours"] / min(peers), 2), "ratio", 1.0)


def _tell(case: Case, unit: str, values: dict[str, float]) -> None:
    """All arms, in a unit and over the standard one."""
    each = (f"{name} {value:.2f} ({value / values['standard']:.2f})" for name, value in values.items())
    print(f"        {case.name}, {unit}: {', '.join(each)}", file=sys.stderr)


def figures(arguments: argparse.Namespace) -> Iterator[Figure]:
    """All figures of this benchmark."""
    import torch

    torch.set_num_threads(1)
    for shape in arguments.shapes.split(","):
        for length in map(int, arguments.lengths.split(",")):
            for lora in (False, True):
                if shape != "bert768" or (length == 128 and not lora):
                    # A long text takes as long as many short ones.
                    turns = max(2, arguments.repetitions if length <= 128 else arguments.repetitions // 3)
                    yield from compared(Case(shape, length, lora), turns)


if __name__ == "__main__":
    if "--alone" in sys.argv:
        _alone(*sys.argv[2:])
        sys.exit(0)
    sys.exit(
        report(
            "private_step",
            __doc__,
            figures,
            {"name": "--shapes", "default": ",".join(SHAPES), "help": "model shapes, of " + ", ".join(SHAPES)},
            {"name": "--lengths", "default": "32,64,128,512", "help": "tokens of a text"},
            {"name": "--repetitions", "type": int, "default": 5, "help": "turns of each arm"},
        )
    )
