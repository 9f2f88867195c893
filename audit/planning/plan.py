"""From a config to the arms, the probes put to each, and the units of work."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from audit.settings.config import AuditConfig
from audit.settings.sections.arms import TWIN, Claims, Leaky, NoNoise
from audit.settings.sections.policy import Policy
from audit.settings.sections.training import Privacy, Training
from probes.catalog import defaults, instantiate
from probes.protocol import Probe
from probes.results import Role

# What no config may ask for: it is the defect that must be found.
_CLIPPING_ALONE = Privacy(noise_multiplier=1.0, unit="example").model_copy(update={"noise_multiplier": 0.0})


@dataclass(frozen=True, kw_only=True)
class ArmPlan:
    """One arm as planned.

    Attributes:
        name: Its name; the twin of "dp" is "dp-twin".
        role: What it is for.
        source: Where its weights come from.
        twin_of: For a twin, the arm it is the twin of.
        training: Its recipe, None where it is not trained here.
        privacy: Its differential privacy, if any.
        claims: What is claimed of it.
        given: Folder of a model trained elsewhere.
        seeds: Its training seeds; an arm that is not trained has one.
        probes: What is put to it, by the probes' names in the config.
        reference_of: For a reference, the config's arm whose recipe it has.
        number: For a reference, which of the coins decide what it is trained on; None for the twin's own data, where
            only the training seed is another.
        control: For a training that is made to leak, which.
        repetitions: How often a planted canary stands in its training data; None for as often as the canary says.
    """

    name: str
    role: Role
    source: Literal["trained", "given", "base"]
    twin_of: str | None
    training: Training | None
    privacy: Privacy | None
    claims: Claims | None
    given: str | None
    seeds: tuple[int, ...]
    probes: Mapping[str, Probe]
    reference_of: str | None = None
    number: int | None = None
    control: Literal["leaky", "no_noise"] | None = None
    repetitions: int | None = None

    @property
    def written_as(self) -> str:
        """The config's arm that its recipe stands under."""
        return self.twin_of or self.reference_of or self.name

    @property
    def place(self) -> tuple[str, str]:
        """Where that stands in the config."""
        return ("arms" if self.control is None else "controls", self.written_as)

    @property
    def is_on_audit_data(self) -> bool:
        """Whether it is trained on what the twins' coins left in, with canaries, and so can be attacked."""
        return self.role == "twin" or self.control is not None or (self.role == "reference" and self.number is None)

    @property
    def references(self) -> int:
        """How many reference models its probes ask for; a control has none, it is to be cheap."""
        if self.control is not None:
            return 0
        return max((getattr(probe, "references", 0) for probe in self.probes.values()), default=0)

    @property
    def retrained(self) -> int:
        """How many further trainings, by other seeds, its probes ask for; none of a control."""
        if self.control is not None:
            return 0
        return max((getattr(probe, "seeds", 1) for probe in self.probes.values()), default=1) - 1

    @property
    def is_private(self) -> bool:
        """Whether it is trained with differential privacy here, or claims to have been elsewhere."""
        return self.privacy is not None or self.claims is not None


@dataclass(frozen=True, kw_only=True)
class Unasked:
    """A probe that speaks of an arm and cannot be put to it, which is known before anything is asked.

    Attributes:
        arm: The arm.
        probe: The probe's name in the config.
        reason: Why.
    """

    arm: str
    probe: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an audit will do.

    Attributes:
        arms: In the config's order, twins after them, then controls that are made to leak, and references last.
        probes: All probes, by their names in the config.
        contrasts: Pairs (arm, reference) that are compared.
        unasked: What cannot be asked, for want of a twin.
    """

    arms: tuple[ArmPlan, ...]
    probes: Mapping[str, Probe]
    contrasts: tuple[tuple[str, str], ...]
    unasked: tuple[Unasked, ...] = ()

    def arm(self, name: str) -> ArmPlan:
        """The arm of that name."""
        return next(a for a in self.arms if a.name == name)

    def runs(self) -> Iterator[tuple[ArmPlan, int]]:
        """Each arm with each of its seeds."""
        for arm in self.arms:
            for seed in arm.seeds:
                yield arm, seed

    @property
    def needs_canaries(self) -> bool:
        """Whether a probe asks about canaries."""
        return any(
            probe.name == "canaries" for arm in self.arms if arm.is_on_audit_data for probe in arm.probes.values()
        )

    @property
    def trains(self) -> bool:
        """Whether an arm is trained here."""
        return any(arm.source == "trained" for arm in self.arms)


def make_plan(config: AuditConfig) -> Plan:
    """The plan of a config.

    Raises:
        ValueError: A probe that does not exist, or a parameter that it does not have.
    """
    probes = _probes(config)
    named = [_arm(config, name, probes) for name in config.arms]
    twins = [_twin(config, arm, probes) for arm in named if arm.source == "trained" and _on(probes, "twin")]
    controls = _controls(config, probes)
    arms = (*named, *twins, *controls, *(reference for twin in twins for reference in _references(twin)))
    return Plan(
        arms=arms, probes=probes, contrasts=tuple(_contrasts(config, arms)), unasked=tuple(_unasked(named, probes))
    )


def _probes(config: AuditConfig) -> dict[str, Probe]:
    wanted = config.probes if config.probes is not None else {name: {} for name in defaults(config.kind)}
    return {name: instantiate(name, parameters) for name, parameters in wanted.items()}


def _on(probes: Mapping[str, Probe], role: Role) -> dict[str, Probe]:
    chosen = {name: probe for name, probe in probes.items() if role in probe.roles}
    # A twin exists for the privacy probes alone; without one of them there is nothing to make it for.
    if role == "twin" and not any(probe.pillar == "privacy" for probe in chosen.values()):
        return {}
    return chosen


def _unasked(arms: Sequence[ArmPlan], probes: Mapping[str, Probe]) -> Iterator[Unasked]:
    """What only a twin could tell of a model that was trained elsewhere."""
    for arm in arms:
        for name, probe in probes.items():
            if arm.source == "given" and "twin" in probe.roles and name not in arm.probes:
                reason = (
                    f"{arm.name} was trained elsewhere: which rows it was trained on is not known here, and no twin of "
                    f"it was trained by the audit's coins and on its canaries"
                )
                yield Unasked(arm=arm.name, probe=name, reason=reason)


def _arm(config: AuditConfig, name: str, probes: Mapping[str, Probe]) -> ArmPlan:
    arm = config.arms[name]
    source, role = config.source_of(name), config.role_of(name)
    trained = source == "trained"
    return ArmPlan(
        name=name,
        role=role,
        source=source,
        twin_of=None,
        training=config.training_of(name) if trained else None,
        privacy=config.privacy_of(name),
        claims=arm.claims,
        given=arm.given,
        seeds=tuple(config.seeds.training + i for i in range(arm.seeds if trained else 1)),
        probes=_on(probes, role),
    )


def _twin(config: AuditConfig, arm: ArmPlan, probes: Mapping[str, Probe]) -> ArmPlan:
    return ArmPlan(
        name=arm.name + TWIN,
        role="twin",
        source="trained",
        twin_of=arm.name,
        training=arm.training,
        privacy=arm.privacy,
        claims=arm.claims,
        given=None,
        seeds=arm.seeds[:1],
        probes=_on(probes, "twin"),
    )


def _controls(config: AuditConfig, probes: Mapping[str, Probe]) -> Iterator[ArmPlan]:
    """The trainings that are made to leak, with the privacy probes alone: nothing else is to be learnt from them."""
    for name, section in config.controls.on().items():
        is_private = isinstance(section, NoNoise)
        yield ArmPlan(
            name=name,
            role="control",
            source="trained",
            twin_of=None,
            training=config.training_of_control(name),
            privacy=_CLIPPING_ALONE if is_private else None,
            claims=section.claims if isinstance(section, NoNoise) else None,
            given=None,
            seeds=(config.seeds.training,),
            probes={n: probe for n, probe in _on(probes, "twin").items() if probe.pillar == "privacy"},
            control="no_noise" if is_private else "leaky",
            repetitions=section.repetitions if isinstance(section, Leaky) else None,
        )


def reference_run(arm: str, seed: int, number: int) -> tuple[str, int]:
    """Name and training seed of a reference of a run of an arm: another seed, as an attacker would have."""
    return f"{arm}-reference-{number}", seed + 1 + number


def retrained_run(arm: str, seed: int, number: int) -> tuple[str, int]:
    """Name and training seed of a further training of a run of an arm, numbered from 1."""
    return f"{arm}-seed-{number}", seed + number


def _references(twin: ArmPlan) -> Iterator[ArmPlan]:
    """What the twin's probes ask for beside it: its recipe, on data that their own coins choose or by other seeds."""
    for number in range(twin.references):
        yield _beside(twin, *reference_run(twin.name, twin.seeds[0], number), number)
    for number in range(1, twin.retrained + 1):
        yield _beside(twin, *retrained_run(twin.name, twin.seeds[0], number), None)


def _beside(twin: ArmPlan, name: str, seed: int, number: int | None) -> ArmPlan:
    return replace(
        twin,
        name=name,
        role="reference",
        twin_of=None,
        seeds=(seed,),
        probes={},
        reference_of=twin.twin_of,
        number=number,
    )


def _contrasts(config: AuditConfig, arms: Sequence[ArmPlan]) -> Iterator[tuple[str, str]]:
    """Each candidate against the one to be deployed (else the first) and the untouched base; their twins likewise.

    Of two, a private arm stands first: the difference says what privacy changed. What a gate compares comes along. Each
    twin is compared with its candidate: attacks on it speak for a model that it must be like.
    """
    names = {arm.name for arm in arms}
    candidates = [arm for arm in arms if arm.role == "candidate"]
    pairs: dict[tuple[str, str], None] = {}
    anchor = next((arm for arm in candidates if config.deploy in (None, arm.name)), None)
    for arm in candidates:
        if anchor is not None and arm is not anchor:
            is_turned = anchor.is_private and not arm.is_private
            pairs[(anchor.name, arm.name) if is_turned else (arm.name, anchor.name)] = None
        for base in (b.name for b in arms if b.source == "base" and b is not arm):
            pairs[arm.name, base] = None
    if isinstance(config.gates, Policy):
        for gate in config.gates.gates:
            judged = gate.arm or config.deploy
            if gate.reference in names and judged is not None and judged != gate.reference:
                pairs[judged, gate.reference] = None
    for ours, theirs in list(pairs):
        if ours + TWIN in names and theirs + TWIN in names:
            pairs[ours + TWIN, theirs + TWIN] = None
    yield from pairs
    yield from ((arm.name, arm.twin_of) for arm in arms if arm.twin_of is not None)
