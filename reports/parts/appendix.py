"""What stands at the end: the data, the arms, and what everything depends on."""

import json
from collections.abc import Iterator, Mapping

from reports.index import Index, is_made_to_leak
from reports.parts.costs import training_time
from reports.record import ArmRecord, AuditRecord, DataQuality, Judgement, RunInfo
from reports.words.format import count, counted
from reports.words.text import elapsed, listed, minute, split_words
from reports.words.wording import epsilon_words

Facts = tuple[tuple[str, str], ...]
"""Names and what they are."""


def data_facts(data: DataQuality) -> Facts:
    """What the data were like, and what was done about it."""
    return tuple(_data(data))


def _data(data: DataQuality) -> Iterator[tuple[str, str]]:
    yield "Rows read", count(data.read)
    bad = ", ".join(f"{count(n)} {reason}" for reason, n in data.bad.items())
    yield "Rows kept", count(data.kept) + (f"; left out: {bad}" if bad else "")
    yield "Independent units", f"{counted(data.clusters, 'cluster')}; {counted(data.duplicates, 'near-duplicate')}"
    if data.persons is None:
        yield "Persons", "no column names them"
    else:
        largest = data.largest_person
        most = "" if largest is None else f"; the largest has {counted(largest, 'training row')}"
        both = data.persons_on_both_sides
        sides = "" if both is None else f"; {count(both)} in training and in test"
        yield "Persons", f"{count(data.persons)}{most}{sides}"
    yield "Splits", _counts({split_words(name): n for name, n in data.splits.items()})
    yield "Rows cut to the model’s length", _cuts(data)
    yield (
        "Audit pool",
        f"{counted(data.pool, 'row')}, {count(data.pool_members)} let in by coins" if data.pool else "none",
    )
    canaries = [
        f"{count(data.canaries_planted.get(kind, 0))} of {count(n)} {kind}" for kind, n in data.canaries.items()
    ]
    yield "Canaries planted", listed(canaries) or "none"
    for attribute, groups in data.groups.items():
        yield f"Test rows by {attribute}", _counts(groups)


def _cuts(data: DataQuality) -> str:
    cut = {**({} if data.truncated is None else {"test": data.truncated}), **data.cut}
    of = {**data.splits, "canaries": sum(data.canaries.values())}
    told = [f"{split_words(name)} {count(n)} of {count(of.get(name, n))}" for name, n in cut.items()]
    return ", ".join(told) or "not counted"


def _counts(counts: Mapping[str, int], most: int = 12) -> str:
    words = [f"{name} {count(n)}" for name, n in counts.items()]
    return ", ".join(words[:most]) + (f" and {count(len(words) - most)} more" if len(words) > most else "") or "none"


def arm_rows(index: Index) -> tuple[tuple[str, ...], ...]:
    """Each arm's name, what it is, its recipe, its privacy, its seeds and its weights."""
    return tuple(
        (
            arm.name,
            _what(arm),
            _recipe(arm),
            epsilon_words(arm).strip(" ()") or "none",
            ", ".join(str(run.seed) for run in arm.runs) or "none",
            ", ".join(run.identity.weights[:16] for run in arm.runs),
        )
        for arm in index.record.arms
    )


def _what(arm: ArmRecord) -> str:
    leaks = ", made to leak on purpose" if is_made_to_leak(arm) else ""
    return f"{arm.role}, {arm.source}" + (f", twin of {arm.twin_of}" if arm.twin_of else leaks)


def _recipe(arm: ArmRecord) -> str:
    """The recipe as "key value" pairs, those of its parts after one another; what is unset is left out."""
    found: list[str] = []

    def walk(value: object, name: str) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(inner, str(key))
        elif value is not None:
            words = value if isinstance(value, str) else json.dumps(value)
            found.append(f"{name.replace('_', ' ')} {words}")

    walk(arm.recipe, "")
    return ", ".join(found) or "not trained here"


def identity_facts(index: Index, judgement: Judgement | None) -> Facts:
    """Hashes: of models, data, coins, policy and of the record itself."""
    return tuple(_identity(index, judgement))


def _identity(index: Index, judgement: Judgement | None) -> Iterator[tuple[str, str]]:
    yield "Base model", index.record.model
    for arm in index.pair:
        for run in arm.runs[:1]:
            identity = run.identity
            yield f"Weights of {arm.name}", f"sha256:{identity.weights}, {counted(identity.parameters, 'parameter')}"
            yield f"Tokenizer of {arm.name}", f"sha256:{identity.tokenizer}"
            if identity.adapter is not None:
                yield f"Adapter of {arm.name}", f"sha256:{identity.adapter}"
            if identity.template is not None:
                yield f"Template of {arm.name}", f"sha256:{identity.template}"
    held = index.record.provenance
    if held.commit is not None:
        yield f"Commit of {index.record.model}", held.commit
    for name, value in held.data.items():
        yield f"Data, {split_words(name)}", f"sha256:{value}"
    yield "Coins and canaries", f"sha256:{held.coins}, committed to before training"
    yield "Config", f"sha256:{held.config}"
    yield "Policy", "none was sealed" if held.gates is None else f"sha256:{held.gates}"
    if held.measured_before:
        yield "Seal", "made after some of the answers were already measured (by an earlier run)"
    if judgement is not None:
        yield "Policy sealed", minute(judgement.sealed_at)
        yield "Deviations", "; ".join(judgement.deviations) or "none since sealing"
    yield "Record", f"schema {index.record.schema}, sha256:{index.digest}"


def making_facts(record: AuditRecord, run: RunInfo | None) -> Facts:
    """Software, seeds, machine, times: how it was made."""
    return tuple(_making(record, run))


def _making(record: AuditRecord, run: RunInfo | None) -> Iterator[tuple[str, str]]:
    held = record.provenance
    if run is not None and run.tool_version:
        yield "finetune-audit", run.tool_version
    yield "Code", f"sha256:{held.code}"
    yield "Software", ", ".join(f"{name} {version}" for name, version in held.versions.items()) or "not recorded"
    if held.machine:
        yield "Type of machine", held.machine
    yield "Seeds", ", ".join(f"{name} {seed}" for name, seed in held.seeds.items()) or "none"
    yield "Threads", count(held.threads)
    yield "Noise", "from the seed, to be reproducible: not secret" if held.reproducible else "from the operating system"
    yield "Changes by --set", ", ".join(held.changes) or "none"
    yield "Units", _units(record)
    if run is not None:
        lasted = "" if run.finished is None else elapsed(run.started, run.finished)
        yield "Run", f"{run.run_id}, {run.status}, begun {minute(run.started)}{f', took {lasted}' if lasted else ''}"
        times = [f"{arm.name} {took}" for arm in record.arms if (took := training_time(arm, run))]
        yield "Training took", "; ".join(times) or "not on file"
        yield "Machine", ", ".join(f"{name} {value}" for name, value in run.host.items()) or "not recorded"


def _units(record: AuditRecord) -> str:
    held = record.coverage
    return f"{count(held.measured)} measured, {count(held.not_measured)} not measured, {counted(held.errors, 'error')}"
