"""What is wrong with a config that only several settings together, or the files it names, can tell.

Nothing is trained and no model is loaded: of a data file the header is read and the rows are counted, of a model's
folder the list of files and its config.json.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

from audit.settings.checks import Check, found
from audit.settings.checks_of_arms import checks_of_arms
from audit.settings.checks_of_data import bounds_on_units, checks_of_data
from audit.settings.checks_of_gates import wrong_gates
from audit.settings.checks_of_models import checks_of_models
from audit.settings.checks_of_task import checks_of_task
from audit.settings.config import AuditConfig
from audit.settings.mistakes import Mistake, Place, Wrong, did_you_mean, listed
from audit.settings.reading import Loaded

Instantiate = Callable[[str, Mapping[str, Any]], object]
WhyNot = Callable[[AuditConfig, str], tuple[Place, str] | None]

_ROLES: tuple[Place, ...] = (("arms", "*", "role"), ("arms", "*", "source"), ("arms", "*", "given"))
"""What says which arms there are and what each is for."""


def check(
    loaded: Loaded,
    metrics_of: Mapping[str, Collection[str]],
    instantiate: Instantiate | None = None,
    why_not: WhyNot | None = None,
    unjudged: Collection[str] = (),
) -> list[Mistake]:
    """All that is wrong with a config, at once; empty where nothing is.

    Args:
        loaded: The config as read; checks that need settings which are not told are left out.
        metrics_of: The names of the probes there are, with those of the metrics each declares.
        instantiate: Makes a probe from its name and parameters, or raises a ValueError that says why it cannot; where
            None, parameters are not checked.
        why_not: Says why a probe that the config names can be put to no arm, and below which setting of the probe that
            is to be mended; where None, that is not checked.
        unjudged: Metrics that no gate may judge, as "probe.metric".
    """
    config = loaded.config
    is_shared = loaded.lines.spot(("gates", "gates")).file != str(loaded.path)
    checks = [
        *checks_of_models(config),
        *checks_of_task(config),
        *checks_of_data(config),
        *checks_of_arms(config, bounds_on_units(config)),
        *_checks_of_probes(config, metrics_of, instantiate, why_not),
        Check(
            (("gates",), ("deploy",), ("probes",), *_ROLES),
            partial(wrong_gates, config, metrics_of, is_shared, unjudged),
        ),
    ]
    # What several arms share is said once.
    return [loaded.lines.mistake(*each) for each in dict.fromkeys(found(checks, loaded.untold))]


def _checks_of_probes(
    config: AuditConfig,
    metrics_of: Mapping[str, Collection[str]],
    instantiate: Instantiate | None,
    why_not: WhyNot | None,
) -> Iterator[Check]:
    for probe, parameters in (config.probes or {}).items():
        here: Place = ("probes", probe)
        yield Check((here,), partial(_wrong_probe, probe, parameters, metrics_of, instantiate))
        if why_not is not None and probe in metrics_of:
            reads: tuple[Place, ...] = (here, ("data",), ("task",), ("model", "name"), *_ROLES)
            yield Check(reads, partial(_not_askable, config, probe, why_not))


def _wrong_probe(
    probe: str,
    parameters: Mapping[str, Any],
    metrics_of: Mapping[str, Collection[str]],
    instantiate: Instantiate | None,
) -> Iterator[Wrong]:
    if probe not in metrics_of:
        near = did_you_mean(probe, metrics_of)
        yield Wrong(("probes", probe), "no such probe", near or f"there are {listed(metrics_of)}")
    elif instantiate is not None:
        try:
            instantiate(probe, parameters)
        except ValueError as error:
            yield Wrong(("probes", probe), str(error).removeprefix(f"{probe}: "))


def _not_askable(config: AuditConfig, probe: str, why_not: WhyNot) -> Iterator[Wrong]:
    why = why_not(config, probe)
    if why is not None:
        below, rule = why
        remedy = "" if below else "give what is missing, or take the probe out"
        yield Wrong(("probes", probe, *below), rule, remedy)
