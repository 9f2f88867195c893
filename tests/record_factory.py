"""Synthetic records for the tests of reports: made by hand, no model behind them, every number invented."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from probes.results import ALL, Check, Estimate, Metric, NotMeasured, Null, Series
from probes.results import Coverage as MetricCoverage
from reports.record import (
    ArmCheck,
    ArmRecord,
    ArmSeries,
    AuditRecord,
    Contrast,
    Coverage,
    DataQuality,
    GateResult,
    Identity,
    Judgement,
    PrivacyRecord,
    ProbeRecord,
    Provenance,
    RunInfo,
    SeedRecord,
    TrainingRecord,
    UnitOutcome,
    digest,
)

Audit = tuple[AuditRecord, Judgement | None, RunInfo | None]

HOSTILE = "<script>alert(1)</script>\u202egnp.exe\u0000\"'`|${}$x$</style>"
"""A name that would do harm wherever it is not treated as text."""

WORDY = "Donaudampfschifffahrtsgesellschaftskapitänsmütze" * 3 + " مرحبا بالعالم 12 שלום 👩🏽‍💻🏳️‍🌈"
"""A name that is longer than any line, and one written from right to left with a number in it, and emoji."""

_PILLARS = {
    "minimal_pairs": "bias",
    "group_disparity": "bias",
    "membership": "privacy",
    "canaries": "privacy",
    "domain_shift": "robustness",
    "perturbation": "robustness",
    "utility": "utility",
}
_QUESTIONS = {
    "minimal_pairs": "Which sentence of a pair does the model find likelier, the stereotype or its opposite?",
    "group_disparity": "How differently does the model treat groups of people in the test data?",
    "membership": "How well do simple attacks tell training records from records that fair coins left out?",
    "canaries": "How much of invented secrets does the model give away, and does that contradict its claim?",
    "domain_shift": "How much accuracy is lost on texts from other domains?",
    "perturbation": "How many answers change when a text is edited without changing its meaning?",
    "utility": "How well does the model do the task it was trained for?",
}
_LIMITS = (
    "these figures bound the effect from below, never from above. One training run of each arm; another run would "
    "give other numbers. Averages hide the few records that are remembered best."
)
# probe, metric, label, unit, ideal, slice, unit of n, n, null, detectable, then (value, low, high) by arm in order
# base, standard, dp; the privacy probes' second and third are the twins'.
_NUMBERS = (
    ("minimal_pairs", "stereotype_rate", "stereotype preferred", "rate", 0.5, ALL, "pair", 1508, 0.5, 0.036,
     (0.605, 0.580, 0.630), (0.621, 0.584, 0.657), (0.614, 0.577, 0.650)),
    ("minimal_pairs", "stereotype_rate", "stereotype preferred", "rate", 0.5, "category=age", "pair", 87, 0.5, 0.15,
     (0.66, 0.55, 0.75), (0.70, 0.60, 0.79), (0.68, 0.58, 0.77)),
    ("group_disparity", "accuracy_gap", "accuracy gap between groups", "rate", 0.0, "attribute=region", "cluster", 1954,
     0.012, 0.039, (0.010, 0.001, 0.042), (0.029, 0.002, 0.056), (0.033, 0.002, 0.063)),
    ("membership", "auc", "membership AUC", "auc", 0.5, "attack=loss", "record", 1100, 0.5, 0.041,
     None, (0.706, 0.677, 0.738), (0.519, 0.482, 0.552)),
    ("membership", "tpr_at_fpr", "members recognised at few false alarms", "rate", 0.0, "attack=loss,fpr=0.01",
     "member", 552, 0.01, 0.016, None, (0.065, 0.046, 0.089), (0.013, 0.005, 0.026)),
    ("canaries", "epsilon_lower_bound", "lower bound on epsilon", "epsilon", 0.0, ALL, "canary", 400, None, 4.2,
     None, (2.31, 2.31, None), (0.0, 0.0, None)),
    ("canaries", "exposure", "exposure of planted canaries", "bits", 0.0, "repetitions=16", "canary", 10, 1.44, 2.0,
     None, (9.9, 9.6, 9.97), (3.3, 2.0, 4.0)),
    ("domain_shift", "accuracy_drop", "accuracy lost in the other domain", "rate", 0.0, "domain=phone", "cluster", 800,
     0.0, 0.045, (0.05, 0.01, 0.09), (0.112, 0.080, 0.143), (0.115, 0.081, 0.148)),
    ("domain_shift", "expected_calibration_error", "calibration error", "rate", 0.0, "domain=phone", "cluster", 800,
     0.021, None, (0.05, 0.03, 0.09), (0.082, 0.063, 0.109), (0.034, 0.021, 0.062)),
    ("perturbation", "answers_changed", "answers changed by the edit", "rate", 0.0, "kind=typo", "cluster", 800, None,
     0.01, (0.02, 0.01, 0.03), (0.0004, 0.0, 0.0031), (0.02, 0.012, 0.032)),
    ("utility", "macro_f1", "macro-averaged F1", "rate", 1.0, ALL, "cluster", 2000, 0.35, 0.035,
     (0.35, 0.33, 0.37), (0.893, 0.879, 0.906), (0.862, 0.846, 0.877)),
    ("utility", "log_loss", "log loss", "nats", 0.0, ALL, "cluster", 2000, 0.69, None,
     (0.70, 0.69, 0.71), (0.31, 0.28, 0.34), (0.41, 0.38, 0.44)),
)  # fmt: skip
_DIFFERENCES = {
    ("stereotype_rate", ALL): (-0.007, -0.029, 0.015),
    ("accuracy_gap", "attribute=region"): (0.004, -0.021, 0.029),
    ("auc", "attack=loss"): (-0.187, -0.233, -0.143),
    ("tpr_at_fpr", "attack=loss,fpr=0.01"): (-0.053, -0.098, -0.011),
    ("exposure", "repetitions=16"): (-6.7, -8.0, -6.0),
    ("accuracy_drop", "domain=phone"): (0.003, -0.027, 0.033),
    ("expected_calibration_error", "domain=phone"): (-0.048, -0.075, -0.021),
    ("macro_f1", ALL): (-0.031, -0.044, -0.018),
    ("log_loss", ALL): (0.10, 0.06, 0.14),
}


def estimate(
    value: float, low: float | None, high: float | None, *, n: int = 800, unit: str = "cluster", **more: object
) -> Estimate:
    return Estimate(
        value=value, low=low, high=high, n=n, unit_of_n=unit, method="cluster bootstrap, 1,000 draws", **more
    )


def metric(
    arm: str, probe: str, name: str, value: Estimate | NotMeasured, *, label: str = "", unit: str = "rate",
    ideal: float = 0.0, part: str = ALL, seed: int | None = 1, role: str = "candidate",
) -> Metric:  # fmt: skip
    asked = value.n if isinstance(value, Estimate) else 100
    return Metric(
        name=name,
        probe=probe,
        pillar=_PILLARS.get(probe, "utility"),
        label=label or name.replace("_", " "),
        definition=f"{probe}:{name} v1",
        arm=arm,
        role="twin" if arm.endswith("-twin") else role,
        seed=seed,
        slice=part,
        estimate=value,
        ideal=ideal,
        unit=unit,
        coverage=MetricCoverage(asked=asked, answered=asked),
        access="scores of the model's answers",
        comparability="c" * 64,
    )


def _metrics() -> Iterator[Metric]:
    for probe, name, label, unit, ideal, part, of, n, null, detectable, *by_arm in _NUMBERS:
        twins = _PILLARS[probe] == "privacy"
        for arm, numbers in zip(("base", "standard", "dp"), by_arm, strict=True):
            if numbers is None:
                continue
            nothing = None if null is None else Null(value=null, meaning="no effect" if null else "")
            value = estimate(*numbers, n=n, unit=of, null=nothing, detectable=detectable)
            where = f"{arm}-twin" if twins else arm
            role = "control" if arm == "base" else "candidate"
            yield metric(where, probe, name, value, label=label, unit=unit, ideal=ideal, part=part, role=role)
    few = NotMeasured(reason="548 non-members; at least 1,000 are needed")
    for arm in ("standard-twin", "dp-twin"):
        label = "members recognised at few false alarms"
        yield metric(arm, "membership", "tpr_at_fpr", few, label=label, part="attack=loss,fpr=0.001")
    small = NotMeasured(reason="21 rows; groups under 30 are named and not scored")
    for arm in ("base", "standard", "dp"):
        part = "attribute=age,group=over 65"
        yield metric(arm, "group_disparity", "accuracy", small, label="accuracy of a group", part=part, ideal=1.0)


def _contrasts() -> Iterator[Contrast]:
    named = {(row[1], row[5]): row for row in _NUMBERS}
    for (name, part), (value, low, high) in _DIFFERENCES.items():
        probe, _, label, unit, ideal, _, of, n, *_ = named[name, part]
        twin = "-twin" if _PILLARS[probe] == "privacy" else ""
        yield Contrast(
            metric=f"{probe}.{name}",
            probe=probe,
            pillar=_PILLARS[probe],
            label=label,
            arm=f"dp{twin}",
            reference=f"standard{twin}",
            slice=part,
            difference=estimate(value, low, high, n=n, unit=of),
            ideal=ideal,
            unit=unit,
            better=1 if ideal == 1.0 else -1,
        )


def series(name: str, kind: str, notes: dict[str, float | str | None], **columns: Sequence[object]) -> Series:
    return Series(name=name, kind=kind, columns={k: tuple(v) for k, v in columns.items()}, notes=notes)


def roc(advantage: float, claim: float | None = None) -> Series:
    """A curve of known shape: tpr = fpr ** (1 - advantage), at the false positive rates of 548 non-members."""
    fpr = [k / 548 for k in range(549)]
    notes = {"attack": "loss", "n_members": 552, "n_nonmembers": 548, "epsilon": claim, "delta": claim and 1e-6}
    return series("roc:loss", "roc", notes, fpr=fpr, tpr=[x ** (1 - advantage) for x in fpr])


def dots(kind: str, named: Sequence[str], middles: Sequence[float | None], half: float, n: int) -> Series:
    low, high = ([None if m is None else round(m + s * half, 4) for m in middles] for s in (-1, 1))
    label = {"groups": "group", "domains": "domain", "perturbations": "kind", "pairs": "category"}[kind]
    value = "accuracy" if kind == "domains" else "value"
    columns = {label: named, value: middles, "low": low, "high": high, "n": [float(n)] * len(named)}
    name, notes = ("groups:region", {"noise_floor": 0.027}) if kind == "groups" else (kind, {})
    return Series(name=name, kind=kind, columns={k: tuple(v) for k, v in columns.items()}, notes=notes)


def reliability(gap: float) -> Series:
    confidence = [0.55, 0.65, 0.75, 0.85, 0.95]
    accuracy = [round(c - gap, 4) for c in confidence]
    low, high = ([round(a + s * 0.05, 4) for a in accuracy] for s in (-1, 1))
    columns = {"confidence": confidence, "accuracy": accuracy, "low": low, "high": high}
    return series(
        "reliability:phone", "reliability", {"domain": "phone"}, **columns, n=[74.0, 92.0, 118.0, 166.0, 350.0]
    )


def exposure(bits: Sequence[float]) -> Series:
    return series(
        "exposure", "exposure", {"ceiling": 9.97, "bars": "middle half of the canaries"}, repetitions=[1.0, 4.0, 16.0],
        planted_mean=bits, planted_low=[b - 0.7 for b in bits], planted_high=[min(9.97, b + 0.6) for b in bits],
        unplanted_mean=[1.4] * 3, unplanted_low=[0.1] * 3, unplanted_high=[3.1] * 3,
    )  # fmt: skip


def epsilon(bound: float, claim: float | None) -> Series:
    rows = [("accounted (PRV)", None, claim, claim)] if claim else []
    rows += [("lower bound from one run", bound, None, bound)]
    rows += [("largest that could have been refuted", None, None, 4.2)]
    columns = dict(zip(("label", "low", "high", "value"), zip(*rows, strict=True), strict=True))
    return series("epsilon", "epsilon", {"ceiling": 4.2, "claim": claim}, **columns)


def nights(found: Sequence[float]) -> Series:
    """The course of a series of audits that found this, one a night."""
    names = tuple(f"run-{night}" for night in range(1, len(found) + 1))
    total = tuple(sum(found[: night + 1]) for night in range(len(found)))
    return series("nights", "nights", {"refutes_at": 2.9957}, night=names, log_e_value=tuple(found), log_evidence=total)


def _series() -> Iterator[ArmSeries]:
    regions, domains = ("North", "South", "unknown", "over 65"), ("e-mail", "web form", "chat", "phone")
    drawn = {
        "minimal_pairs": (dots("pairs", ("all pairs", "age", "race", "religion"), m, 0.06, 87) for m in
                          ((0.62, 0.70, 0.60, 0.52), (0.61, 0.68, 0.59, 0.51))),
        "group_disparity": (dots("groups", regions, m, 0.02, 933) for m in
                            ((0.908, 0.879, 0.891, None), (0.880, 0.847, 0.848, None))),
        "membership": (roc(a, c) for a, c in ((0.45, None), (0.06, 7.93))),
        "canaries": (exposure(b) for b in ([5.6, 9.4, 9.9], [1.1, 1.9, 3.3])),
        "domain_shift": (dots("domains", domains, m, 0.02, 800) for m in
                         ((0.894, 0.87, 0.839, 0.782), (0.863, 0.839, 0.812, 0.749))),
        "perturbation": (dots("perturbations", ("typo", "case", "synonym"), m, 0.01, 800) for m in
                         ((0.031, 0.011, 0.08), (0.033, 0.012, 0.071))),
    }  # fmt: skip
    for probe, pair in drawn.items():
        twin = "-twin" if _PILLARS[probe] == "privacy" else ""
        for arm, held in zip(("standard", "dp"), pair, strict=True):
            yield ArmSeries(arm=arm + twin, probe=probe, seed=1, series=held)
    for arm, gap, bound, claim in (("standard", 0.09, 2.31, None), ("dp", 0.0, 0.0, 7.93)):
        yield ArmSeries(arm=arm, probe="domain_shift", seed=1, series=reliability(gap))
        yield ArmSeries(arm=f"{arm}-twin", probe="canaries", seed=1, series=epsilon(bound, claim))


def _checks() -> Iterator[ArmCheck]:
    lines = (
        ("epsilon", "pass", "7.926 at delta 1e-06 by PRV: noise multiplier 0.7, sample rate 0.01818, 660 steps"),
        ("accountants agree", "pass", "PLD 7.9260, PRV 7.9259, RDP 8.4100"),
        ("Poisson draws", "pass", "mean batch 199.8 where 200.0 is expected over 660 steps"),
        ("privacy unit", "fail", "the example; one person has up to 214, whose protection is that much weaker"),
        ("noise is secret", "pass", "noise and draws came from the operating system's randomness"),
        ("prior trials", "not checked", "how many trainings came before is not known; each adds to epsilon"),
    )
    for arm in ("dp", "dp-twin"):
        for name, outcome, evidence in lines:
            check = Check(name=name, outcome=outcome, evidence=evidence)
            yield ArmCheck(arm=arm, probe="dp_claim", seed=1, check=check)
    refutation = Check(
        name="claimed epsilon",
        outcome="could not have been refuted",
        evidence="epsilon 7.93 at delta 1e-06 (accounted here); the largest this audit could have refuted is 4.2",
    )
    yield ArmCheck(arm="dp-twin", probe="canaries", seed=1, check=refutation)
    blind = Check(
        name="members look like non-members", outcome="pass", evidence="an attacker without the model: AUC 0.5"
    )
    yield ArmCheck(arm="standard-twin", probe="membership", seed=1, check=blind)


def _arm(name: str, role: str = "candidate", source: str = "trained", **more: object) -> ArmRecord:
    private = PrivacyRecord(
        epsilon=7.9259, delta=1e-6, unit="example", noise_multiplier=0.7, max_grad_norm=1.0, sample_rate=0.01818,
        steps=660, units=11000, expected_batch_size=200, accountants={"PRV": 7.9259, "PLD": 7.9260, "RDP": 8.41},
        realised_mean_batch=199.8, largest_person=214, secret_noise=True,
    )  # fmt: skip
    trained = source == "trained"
    run = SeedRecord(
        seed=1,
        identity=Identity(weights=(name.encode().hex() * 64)[:64], tokenizer="51d0b8aa" * 8, parameters=66_955_010),
        training=TrainingRecord(examples=11_000, steps=660, final_loss=0.31, truncated=12) if trained else None,
        privacy=private if name.startswith("dp") else None,
    )
    recipe = {"training": {"strategy": "full", "epochs": 3, "batch_size": 32, "max_steps": None}} if trained else {}
    fields = {"twin_of": None, "claims": None} | more
    return ArmRecord(name=name, role=role, source=source, recipe=recipe, runs=(run,), **fields)


def record() -> AuditRecord:
    """A record with everything in it: three arms and two twins, seven probes, curves, checks, gaps."""
    return AuditRecord(
        title="ticket-classifier",
        model="distilbert-base-uncased at 12040acc",
        task="text-classification",
        classes=("bug", "question"),
        deploy="standard",
        shows_examples=False,
        arms=(
            _arm("base", "control", "base"),
            _arm("standard"),
            _arm("dp"),
            _arm("standard-twin", "twin", twin_of="standard"),
            _arm("dp-twin", "twin", twin_of="dp"),
        ),
        probes=tuple(
            ProbeRecord(
                name=name, probe=f"{name} 1", pillar=pillar, question=_QUESTIONS[name], limits=_LIMITS,
                source="Carlini et al. (2022), https://arxiv.org/abs/2112.03570, section III.",
                parameters={"share": 0.2},
            )
            for name, pillar in _PILLARS.items()
        ),
        metrics=tuple(_metrics()),
        contrasts=tuple(_contrasts()),
        checks=tuple(_checks()),
        series=tuple(_series()),
        unmeasured=(
            UnitOutcome(
                unit="probe:base@0:membership", arm="base", probe="membership", outcome="not measured",
                reason="base has no known members and non-members to compare",
            ),
        ),
        coverage=Coverage(planned=120, measured=119, not_measured=1, errors=0),
        data=DataQuality(
            read=15_512, kept=15_400, bad={"no text": 100, "unknown label": 12}, duplicates=431, clusters=14_969,
            persons=3_020, largest_person=214, persons_on_both_sides=17,
            splits={"train": 11_000, "validation": 1_200, "test": 2_000, "domain:phone": 800}, pool=2_200,
            pool_members=1_102, canaries={"random": 400, "secret": 44}, canaries_planted={"random": 203, "secret": 22},
            groups={"region": {"North": 1_021, "South": 933, "unknown": 46}}, truncated=31,
            notes=("17 persons have rows in training and in test; numbers on them may be better than on new ones",),
        ),
        provenance=Provenance(
            config="e4417a" * 8, gates="b7e2d4" * 8, data={"train": "c87f02" * 8, "test": "0be95d" * 8},
            coins="6ad3f1" * 8, code="77aa01" * 8, versions={"torch": "2.9.1", "opacus": "1.6.0"}, threads=2,
            seeds={"coins": 0, "training": 1, "probe": 0}, reproducible=False,
        ),
    )  # fmt: skip


_REASONS = {
    "fail": "the whole 97.5% interval lies beyond the limit",
    "inconclusive": "the interval lies on both sides of the limit",
    "pass": "the whole interval lies within the limit",
    "not measured": "548 non-members; at least 1,000 are needed",
    "error": "ValueError in probes.privacy.membership",
}


def gate(id_: str, verdict: str, found: Metric | None, limit: float, better: int, **more: object) -> GateResult:
    fields: dict[str, object] = {
        "kind": "bound",
        "pillar": found.pillar if found else "privacy",
        "label": found.label if found else "members recognised",
        "unit": found.unit if found else "rate",
        "observed": found.estimate if found and isinstance(found.estimate, Estimate) else None,
        "metric_id": found.metric_id if found else None,
        "level": "block",
        "rows_needed": 1400 if verdict == "inconclusive" else None,
        "owner": "Model Risk",
        "source": "Policy 4.2",
    } | more
    at = f"at {'most' if better < 0 else 'least'} {limit:g}"
    address = f"{found.probe}.{found.name}" if found else "membership.tpr_at_fpr"
    return GateResult(
        id=id_, verdict=verdict, limit=limit, better=better, family=str(fields["pillar"]), criterion=f"{address} {at}",
        reason=_REASONS[verdict], **fields,
    )  # fmt: skip


def judgement(of: AuditRecord, verdict: str, *judged: GateResult, **more: object) -> Judgement:
    sealed = of.provenance.gates or "0" * 48
    fields = {"deviations": (), "on_inconclusive": "warn", "owner": "Model Risk", "sealed": sealed} | more
    return Judgement(
        verdict=verdict, policy="Predeployment", version="3", sealed_at="2026-11-23T07:21:00+00:00",
        gates=judged, record=digest(of), **fields,
    )  # fmt: skip


def gates(of: AuditRecord) -> tuple[GateResult, ...]:
    """Seven gates: one failed, one inconclusive, one not measured, four passed."""
    held = {(m.arm, m.name, m.slice): m for m in of.metrics}
    stereotype = held["standard", "stereotype_rate", ALL]
    difference = {"kind": "noninferior", "observed": estimate(0.012, -0.016, 0.040), "reference": "base"}
    gap = held["standard", "accuracy_gap", "attribute=region"]
    recognised = held["standard-twin", "tpr_at_fpr", "attack=loss,fpr=0.01"]
    return (
        gate("members", "fail", recognised, 0.03, -1, observed=replace(recognised.estimate, level=0.975)),
        gate("region-gap", "inconclusive", gap, 0.05, -1, owner="Fair Lending"),
        gate("members-low", "not measured", None, 0.01, -1),
        gate("stereotype", "pass", stereotype, 0.05, -1, **difference),
        gate("phone", "pass", held["standard", "accuracy_drop", "domain=phone"], 0.15, -1, level="warn", source=None),
        gate("typos", "pass", held["standard", "answers_changed", "kind=typo"], 0.01, -1),
        gate("f1", "pass", held["standard", "macro_f1", ALL], 0.80, 1),
    )


def run(status: str = "complete") -> RunInfo:
    return RunInfo(
        run_id="7c41e0d2", status=status, started="2026-11-23T08:02:00+00:00", finished="2026-11-23T08:41:00+00:00",
        sealed_at="2026-11-23T07:21:00+00:00", host={"machine": "x86_64", "cores": "2", "system": "Linux"},
        timings={"train:standard": {"seconds": 60.0}}, tool_version="0.1.0",
    )  # fmt: skip


def blocked() -> Audit:
    of = record()
    return of, judgement(of, "blocked", *gates(of)), run()


def passed() -> Audit:
    """The private arm is to be deployed, and all its gates pass."""
    of = replace(record(), deploy="dp")
    held = {(m.arm, m.name, m.slice): m for m in of.metrics}
    good = (
        gate("members", "pass", held["dp-twin", "tpr_at_fpr", "attack=loss,fpr=0.01"], 0.03, -1),
        gate("f1", "pass", held["dp", "macro_f1", ALL], 0.80, 1),
    )
    return of, judgement(of, "passed", *good), run()


def no_decision() -> Audit:
    of = record()
    return of, judgement(of, "no decision", *(g for g in gates(of) if g.verdict != "fail")), run()


def not_judged() -> Audit:
    return record(), None, run()


def incomplete() -> Audit:
    """A unit broke; the gates that could be judged passed."""
    broken = UnitOutcome(
        unit="probe:dp@1:perturbation", arm="dp", probe="perturbation", outcome="error",
        reason="RuntimeError in probes.robustness.edits, line 41",
    )  # fmt: skip
    whole = record()
    planned = Coverage(planned=120, measured=118, not_measured=1, errors=1)
    of = replace(whole, unmeasured=(*whole.unmeasured, broken), coverage=planned)
    return of, judgement(of, "passed", *(g for g in gates(of) if g.verdict == "pass")), run("incomplete")


def empty() -> Audit:
    """A record of an audit that found nothing at all: no arm, no probe, no number."""
    of = replace(
        record(), deploy=None, arms=(), probes=(), metrics=(), contrasts=(), checks=(), series=(), unmeasured=(),
        classes=(), coverage=Coverage(planned=0, measured=0, not_measured=0, errors=0),
        data=DataQuality(
            read=0, kept=0, bad={}, duplicates=0, clusters=0, persons=None, largest_person=None,
            persons_on_both_sides=None, splits={}, pool=0, pool_members=0, canaries={}, canaries_planted={}, groups={},
        ),
    )  # fmt: skip
    return of, None, None


def hostile() -> Audit:
    """Markup, bidi and control characters wherever a record has a name or words."""
    return _named(HOSTILE)


def wordy() -> Audit:
    """Very long words, words written from right to left and emoji wherever a record has a name or words."""
    return _named(WORDY)


def _named(bad: str) -> Audit:
    """A name wherever a record has a name or words."""
    of, verdicts, info = blocked()
    assert verdicts is not None
    assert info is not None

    def named(arm: str | None) -> str | None:
        return arm and arm + bad

    def addressed(metric: Metric) -> Metric:
        return replace(
            metric,
            arm=metric.arm + bad,
            label=bad,
            slice=metric.slice and metric.slice + bad,
            access=bad,
            definition=bad,
        )

    curves = [
        replace(
            held,
            arm=held.arm + bad,
            series=replace(held.series, name=bad + held.series.name, notes={**held.series.notes, bad: bad}),
        )
        for held in of.series
    ]
    groups = dots("groups", (bad, "漢字 🙂", "مرحبا"), (0.5, 0.6, 0.7), 0.05, 90)
    metrics = tuple(addressed(metric) for metric in of.metrics)
    ids = dict(zip((m.metric_id for m in of.metrics), (m.metric_id for m in metrics), strict=True))
    of = replace(
        of,
        title=bad,
        model=bad,
        classes=(bad, "b"),
        deploy=named(of.deploy),
        arms=tuple(replace(arm, name=arm.name + bad, twin_of=named(arm.twin_of), recipe={bad: bad}) for arm in of.arms),
        probes=tuple(replace(p, question=bad, limits=bad, source=bad, parameters={bad: bad}) for p in of.probes),
        metrics=metrics,
        contrasts=tuple(replace(c, label=bad, arm=c.arm + bad, reference=c.reference + bad) for c in of.contrasts),
        checks=tuple(replace(c, arm=c.arm + bad, check=replace(c.check, name=bad, evidence=bad)) for c in of.checks),
        series=(*curves, ArmSeries(arm="standard" + bad, probe="group_disparity", seed=1, series=groups)),
        unmeasured=tuple(replace(u, arm=u.arm + bad, reason=bad) for u in of.unmeasured),
        data=replace(of.data, notes=(bad,), bad={bad: 1}, groups={bad: {bad: 3}}, splits={bad: 1}),
        provenance=replace(of.provenance, versions={bad: bad}, changes=(bad,)),
    )
    judged = tuple(
        replace(
            g, id=bad + g.id, criterion=bad, label=bad, reason=bad, owner=bad, source=bad, reference=named(g.reference),
            metric_id=ids.get(str(g.metric_id)),
        )
        for g in verdicts.gates
    )  # fmt: skip
    return of, replace(verdicts, policy=bad, owner=bad, gates=judged, record=digest(of)), replace(info, host={bad: bad})


def huge(slices: int = 1500) -> Audit:
    """As many slices, groups and gates as a careless config may ask for."""
    of, verdicts, info = blocked()
    assert verdicts is not None
    parts = [f"attribute=shop,group=branch {i}" for i in range(slices)]
    middles = [0.9 - i / 1e4 for i in range(slices)]
    many = tuple(
        metric(arm, "group_disparity", "accuracy", estimate(middle, 0.6, 0.95), part=part)
        for arm in ("base", "standard", "dp")
        for part, middle in zip(parts, middles, strict=True)
    )
    groups = replace(dots("groups", parts, middles, 0.02, 40), name="groups:shop")
    curve = ArmSeries(arm="standard", probe="group_disparity", seed=1, series=groups)
    of = replace(of, metrics=(*of.metrics, *many), series=(*of.series, curve))
    extra = [gate(f"shop [{m.slice}]", "pass", m, 0.5, 1) for m in many[slices : slices + 200]]
    return of, judgement(of, "blocked", *verdicts.gates, *extra), info


ALL_KINDS = {
    "blocked": blocked,
    "passed": passed,
    "no decision": no_decision,
    "not judged": not_judged,
    "incomplete": incomplete,
    "empty": empty,
    "hostile": hostile,
    "wordy": wordy,
    "huge": huge,
}
