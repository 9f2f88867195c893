"""Whether the gates can be judged: the arm to be deployed, the arms they name, the metrics they ask for."""

import re
from collections.abc import Collection, Iterator, Mapping

from audit.settings.config import AuditConfig
from audit.settings.mistakes import Place, Wrong, did_you_mean, listed
from audit.settings.sections.policy import Gate, Policy

_METRIC = re.compile(r"([\w-]+)\.([\w-]+)(\[[^\[\]]+\])?")


def wrong_gates(
    config: AuditConfig,
    metrics_of: Mapping[str, Collection[str]],
    is_shared: bool = False,
    unjudged: Collection[str] = (),
) -> Iterator[Wrong]:
    """What is wrong with `deploy` and the policy.

    Args:
        config: The config, its policy in place.
        metrics_of: The probes there are, with the metrics each declares.
        is_shared: Whether the policy stands in a file of its own. Such a policy is for many audits: a gate on a probe
            that this one does not switch on is not measured, as the plan and the report say.
        unjudged: Metrics that are shown and that no gate may judge, as "probe.metric".
    """
    yield from _wrong_deploy(config)
    if isinstance(config.gates, Policy):
        first: dict[str, int] = {}
        yield from _wrong_reference(config, config.gates)
        for i, gate in enumerate(config.gates.gates):
            place: Place = ("gates", "gates", i)
            if first.setdefault(gate.id, i) != i:
                yield Wrong((*place, "id"), f"stands twice; got '{gate.id}'", "give each gate a name of its own")
            yield from _wrong_arms(config, config.gates, gate, place)
            asked = None if is_shared else config.probes
            yield from _wrong_metric(gate.metric, (*place, "metric"), metrics_of, asked)
            named = gate.metric.partition("[")[0]
            if named in unjudged:
                rule = f"'{named}' is an estimate that is shown outside gates"
                yield Wrong((*place, "metric"), rule, "judge a metric that is measured, or take the gate out")


def _wrong_deploy(config: AuditConfig) -> Iterator[Wrong]:
    candidates = [arm for arm in config.arms if config.role_of(arm) == "candidate"]
    if config.deploy is None:
        if config.gates is not None:
            suggestion = f"name one of the candidates: {listed(candidates)}"
            yield Wrong(("deploy",), "is required with gates: they judge the arm that is to be deployed", suggestion)
    elif config.deploy not in config.arms:
        near = did_you_mean(config.deploy, candidates)
        suggestion = near or f"the candidates are {listed(candidates)}"
        yield Wrong(("deploy",), f"no such arm; got '{config.deploy}'", suggestion)
    elif config.deploy not in candidates:
        rule = f"'{config.deploy}' is a control, which is not for deployment"
        yield Wrong(("deploy",), rule, f"the candidates are {listed(candidates)}")


def _wrong_reference(config: AuditConfig, policy: Policy) -> Iterator[Wrong]:
    """A policy is for many audits, so an arm that it compares with may be absent, but not be misspelt."""
    named = policy.reference
    if named is not None and named not in config.arms:
        near = did_you_mean(named, config.arms)
        if near:
            yield Wrong(("gates", "reference"), f"no such arm; got '{named}'", near)


def _wrong_arms(config: AuditConfig, policy: Policy, gate: Gate, place: Place) -> Iterator[Wrong]:
    own = None if gate.reference == policy.reference else gate.reference
    for key, arm in (("arm", gate.arm), ("reference", own)):
        if arm is not None and arm not in config.arms:
            near = did_you_mean(arm, config.arms)
            yield Wrong((*place, key), f"no such arm; got '{arm}'", near or f"there are {listed(config.arms)}")
    judged = gate.arm or config.deploy
    if own is not None and own == judged:
        yield Wrong((*place, "reference"), f"'{judged}' would be compared with itself", "name another arm")


def _wrong_metric(
    metric: str, place: Place, metrics_of: Mapping[str, Collection[str]], asked: Collection[str] | None
) -> Iterator[Wrong]:
    parts = _METRIC.fullmatch(metric)
    if parts is None:
        yield Wrong(place, f"must have the form probe.metric or probe.metric[slice]; got '{metric}'")
        return
    probe, name = parts[1], parts[2]
    if probe not in metrics_of:
        near = did_you_mean(probe, metrics_of)
        yield Wrong(place, f"no probe is called '{probe}'", near or f"there are {listed(metrics_of)}")
    elif name not in metrics_of[probe]:
        near = did_you_mean(name, metrics_of[probe])
        yield Wrong(place, f"'{probe}' has no metric '{name}'", near or f"it has {listed(metrics_of[probe])}")
    elif asked is not None and probe not in asked:
        yield Wrong(place, f"the probe '{probe}' is not switched on", f"add '{probe}: {{}}' to probes")
