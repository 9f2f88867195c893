"""On a GPU the same is trained, clipped and asked as on the processor, up to rounding."""

import json

import pytest
import torch
from single_examples import B, build, losses_of, make_batch, one_at_a_time
from tiny_audit import files

from audit.cli import main
from audit.training.bookkeeping import Bookkeeping

GPU = pytest.param("cuda", marks=pytest.mark.gpu)


def _recorded(folder, device):
    from click.testing import CliRunner

    config, runs = files(folder), folder / device
    changed = [f"compute.device={device}", "arms.standard.seeds=1"]
    words = [word for change in changed for word in ("--set", change)]
    ran = CliRunner().invoke(main, ["run", str(config), "--quiet", "--runs", str(runs), *words])
    assert ran.exit_code == 0, ran.output
    (path,) = runs.glob("*/record.json")
    return json.loads(path.read_text())


@pytest.mark.gpu
def test_an_audit_on_a_gpu_finds_what_it_finds_on_the_processor(tmp_path):
    ours, theirs = (_recorded(tmp_path, device) for device in ("cpu", "cuda"))
    assert theirs["provenance"]["machine"] == f"{ours['provenance']['machine']}, cuda"
    found = {(m["arm"], m["probe"], m["name"], m["slice"]): m["estimate"].get("value") for m in theirs["metrics"]}
    for metric in ours["metrics"]:
        value = found[metric["arm"], metric["probe"], metric["name"], metric["slice"]]
        if metric["name"] in {"accuracy", "auc"}:
            assert value == pytest.approx(metric["estimate"]["value"], abs=0.05), metric
    assert theirs["coverage"]["errors"] == 0


@pytest.mark.parametrize("device", ["cpu", GPU])
@pytest.mark.parametrize("name", ["BertForSequenceClassification", "GPT2LMHeadModel", "LlamaForCausalLM"])
def test_each_examples_norm_is_the_same_on_every_device(name, device):
    model = build(name, dtype=torch.float32)
    batch = tuple(column.float() if column.is_floating_point() else column for column in make_batch(name))
    expected, _ = one_at_a_time(model, name, batch)
    there = tuple(column.to(device) for column in batch)
    model.to(device)
    _, norms = Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, there, fused=True), B)
    torch.testing.assert_close(norms.cpu(), expected.cpu(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_a_frozen_model_in_half_precision_trains_adapters_on_every_device(device):
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    name = "LlamaForCausalLM"
    model, batch = build(name, dtype=torch.bfloat16), make_batch(name)
    LoraModel(model, {"default": LoraConfig(r=2, target_modules=["q_proj"])}, "default", low_cpu_mem_usage=False)
    generator = torch.Generator().manual_seed(1)
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad_(".lora_" in parameter_name)
        if ".lora_" in parameter_name:
            parameter.data = torch.randn(parameter.shape, generator=generator)
    expected, _ = one_at_a_time(model, name, batch)
    there = tuple(column.to(device) for column in batch)
    model.to(device)
    _, norms = Bookkeeping(model, 1.0).accumulate(lambda: losses_of(model, name, there, fused=True), B)
    torch.testing.assert_close(norms.cpu(), expected.cpu(), rtol=0.1, atol=1e-3)  # bfloat16 has 8 bits
