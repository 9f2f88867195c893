"""From an arm of the plan to a stored model: the base, given and trained arms, each with its identity."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from audit.data.splits import Splits
from audit.planning.plan import ArmPlan
from audit.refusal import Refused
from audit.running.accounts import notes_of, privacy_record
from audit.running.privacy_units import delta_of, examples_of
from audit.running.recipes import as_examples, privacy_of, recipe_of, spec_of, trains_head_alone
from audit.running.shared_features import features_inputs, shared_features
from audit.settings.config import AuditConfig
from audit.settings.sections.models import WORLD, Head, Model
from audit.store import digest, file_digest, read_json, write_json, write_text
from audit.units import Units, code_of_data, code_of_training, object_name, versions
from reports.record import Identity, PrivacyRecord, SeedRecord, TrainingRecord

_IDENTITY = TypeAdapter(Identity)
_TRAINING = TypeAdapter(TrainingRecord)
_PRIVACY = TypeAdapter(PrivacyRecord | None)


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """A model that can be loaded when a table asks for it.

    Attributes:
        source: Where it is loaded from.
        head: The head it is loaded with; None for a base that has none to answer with.
        record: Its seed, identity, training and privacy.
        notes: What the training observed that the DP claim needs, as JSON.
    """

    source: Model
    head: Head | None
    record: SeedRecord
    notes: dict[str, Any]


def base_source(config: AuditConfig, units: Units) -> tuple[Model, dict[str, Any]]:
    """Where the untouched model is loaded from, and what names its content.

    The embedded world's model is pre-trained here; a folder is named by the hashes of its files, a hub model by its
    pinned revision.
    """
    model = config.base_model
    if model.name == WORLD:
        inputs = _pretraining_inputs(config)
        folder = units.obtain("pretrain", "model", inputs, lambda part: _pretrain(config, units, inputs, part))
        return model.model_copy(update={"name": str(folder)}), {"pretrained": digest(inputs)}
    tokenizer = _files(Path(model.tokenizer)) if model.tokenizer else None
    if Path(model.name).is_dir():
        return model, {"files": _files(Path(model.name)), "tokenizer": tokenizer}
    return model, {"hub": model.name, "revision": model.revision, "tokenizer": tokenizer}


def _files(folder: Path) -> dict[str, str]:
    """The hashes of those files of a folder that weights and tokenizer are made from."""
    made_from = {".safetensors", ".json", ".txt", ".model"}
    return {f.name: file_digest(f) for f in sorted(folder.iterdir()) if f.suffix in made_from}


def _pretraining_inputs(config: AuditConfig) -> dict[str, Any]:
    world = config.data.world
    pretraining = config.base_model.pretraining
    return {
        "world": world.model_dump(mode="json") if world else None,
        "pretraining": pretraining.model_dump(mode="json") if pretraining else None,
        "threads": config.compute.threads,
        "code": [code_of_data(), code_of_training()],
        "versions": dict(versions()),
    }


def _pretrain(config: AuditConfig, units: Units, inputs: dict[str, Any], part: Path) -> None:
    from audit.running.models import Loaded, save, set_threads
    from audit.world.pretraining import pretrain

    set_threads(config.compute.threads)
    model, tokenizer = pretrain(
        config,
        checkpoint_folder=_checkpoints(units, inputs),
        on_progress=lambda share: units.observer.advance("pretrain", share),
    )
    save(Loaded(model=model, tokenizer=tokenizer, head="causal"), part)


def base_model(config: AuditConfig, units: Units, source: Model, content: dict[str, Any]) -> StoredModel:
    """The untouched model, as a control to be asked what it can answer."""
    inputs = {"base": content, "task": config.task.model_dump(mode="json"), "code": code_of_training()}
    folder = units.obtain("identify:base", "identity", inputs, lambda part: _identify(config, source, part))
    return _stored(folder, source, seed=0)


def given_model(config: AuditConfig, units: Units, arm: ArmPlan, classes: tuple[str, ...]) -> StoredModel:
    """A model trained elsewhere."""
    source = Model(name=str(arm.given), max_length=config.base_model.max_length)
    files = {f.name: file_digest(f) for f in sorted(Path(source.name).iterdir()) if f.is_file()}
    inputs = {
        "given": files,
        "task": config.task.model_dump(mode="json"),
        "classes": list(classes),
        "code": code_of_training(),
    }

    def write(part: Path) -> None:
        from audit.running.models import check_classes, identity, load

        head = config.head
        if head == "classifier":
            check_classes(source, classes)
        loaded = load(source, head, classes)
        _write(part, identity(loaded, config.task), loaded.head)

    return _stored(units.obtain(f"identify:{arm.name}", "identity", inputs, write), source, seed=arm.seeds[0])


def _identify(config: AuditConfig, source: Model, part: Path) -> None:
    from audit.running.models import identity, load, own_head

    wanted = config.head
    loaded = load(source, wanted if wanted != "classifier" else own_head(source))
    _write(part, identity(loaded, config.task), loaded.head)


def _write(
    part: Path,
    identity: Identity,
    head: str | None,
    training: TrainingRecord | None = None,
    privacy: PrivacyRecord | None = None,
    notes: dict[str, Any] | None = None,
) -> None:
    write_json(
        part / "arm.json",
        {
            "identity": _IDENTITY.dump_python(identity, mode="json"),
            "head": head,
            "training": _TRAINING.dump_python(training, mode="json") if training else None,
            "privacy": _PRIVACY.dump_python(privacy, mode="json"),
            "notes": notes or {},
        },
    )


def _stored(folder: Path, source: Model, *, seed: int) -> StoredModel:
    plain = read_json(folder / "arm.json")
    return StoredModel(
        source=source,
        head=plain["head"],
        record=SeedRecord(
            seed=seed,
            identity=_IDENTITY.validate_python(plain["identity"]),
            training=_TRAINING.validate_python(plain["training"]) if plain["training"] else None,
            privacy=_PRIVACY.validate_python(plain["privacy"]),
        ),
        notes=plain["notes"],
    )


def trained_model(
    config: AuditConfig,
    units: Units,
    arm: ArmPlan,
    seed: int,
    source: Model,
    content: dict[str, Any],
    splits: Splits,
) -> StoredModel:
    """A model trained here, from the untouched one."""
    examples = examples_of(arm, splits)
    inputs: dict[str, Any] = {
        "base": content,
        "task": [config.kind, config.task.model_dump(mode="json"), list(splits.classes)],
        "training": arm.training.model_dump(mode="json") if arm.training else None,
        "privacy": [recipe_of(arm.privacy), delta_of(arm, splits)] if arm.privacy else None,
        "examples": examples.digest,
        "seed": seed,
        "max_length": source.max_length,
        "threads": config.compute.threads,
        "device": config.compute.device,
        "reproducible": config.compute.reproducible,
        "code": code_of_training(),
        "versions": dict(versions()),
    }
    shared = features_inputs(config, source, content, splits) if trains_head_alone(config, arm) else None
    if shared is not None:  # in the last digits they depend on all texts of the pass, not on this arm's alone
        inputs["features"] = object_name("features", shared)
    name = f"train:{arm.name}@{seed}"

    features = None
    is_to_do = not units.store.has(*object_name("model", inputs).split("/"))
    if shared is not None and (is_to_do or units.store.has(*inputs["features"].split("/"))):
        features = shared_features(config, units, arm, source, shared, splits)

    def write(part: Path) -> float:
        return _train(config, units, arm, seed, source, splits, part, _checkpoints(units, inputs), features)

    folder = units.obtain(name, "model", inputs, write)
    return _stored(
        folder, source.model_copy(update={"name": str(folder), "revision": None, "tokenizer": None}), seed=seed
    )


def _checkpoints(units: Units, inputs: dict[str, Any]) -> Path:
    """Where the training of a model keeps its checkpoints, under the model's own key."""
    return units.store.checkpoints(object_name("model", inputs).removeprefix("model/"))


def _train(
    config: AuditConfig,
    units: Units,
    arm: ArmPlan,
    seed: int,
    source: Model,
    splits: Splits,
    part: Path,
    checkpoints: Path,
    features: Path | None,
) -> float:
    """Train a model and store it; returns the seconds of its training, those before a kill among them."""
    import torch

    from audit.running.models import identity, load, longest, place, save, set_threads
    from audit.training.features import Features
    from audit.training.train import train

    set_threads(config.compute.threads)
    torch.manual_seed(seed)  # a head that the checkpoint lacks is drawn from here
    loaded = load(source, config.head, splits.classes, new_head=config.kind == "text-classification")
    place(loaded, config.compute.device)
    name = f"train:{arm.name}@{seed}"
    items = examples_of(arm, splits)
    examples = as_examples(items, arm.privacy)
    try:
        result = train(
            loaded.model,
            loaded.tokenizer,
            examples,
            spec_of(config, arm, splits, longest(source, loaded)),
            seed=seed,
            privacy=privacy_of(config, arm, splits, seed) if arm.privacy else None,
            checkpoint_dir=checkpoints,
            checkpoint_minutes=config.compute.checkpoint_minutes,
            on_progress=lambda progress: units.observer.advance(name, progress.share),
            features=None if features is None else Features.load(features),
        )
    except (ValueError, FloatingPointError) as error:  # a recipe that this model or these data do not bear
        raise Refused(f"{'.'.join(arm.place)}: {error}") from error
    save(loaded, part)
    _write(
        part,
        identity(loaded, config.task),
        loaded.head,
        TrainingRecord(
            examples=result.examples, steps=result.steps, final_loss=result.final_loss, truncated=result.truncated
        ),
        privacy_record(result, items) if result.privacy else None,
        notes_of(result, arm.privacy, items),
    )
    if arm.is_on_audit_data or arm.role == "reference":
        what = (
            f"{arm.name}, made beside {arm.written_as}"
            if arm.control is None
            else f"The control {arm.name}, which leaks on purpose"
        )
        write_text(part / "NEVER_DEPLOY.txt", f"{what}: made to be attacked, canaries may be planted in it.\n")
    shutil.rmtree(checkpoints, ignore_errors=True)
    return result.seconds
