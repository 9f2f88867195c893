"""What is wrong with a config that only several settings together, or the files it names, can tell.

Nothing is trained and no model is loaded: of a data file the header is read, of a model's folder the list of files.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from audit.settings.checks_of_arms import wrong_arms
from audit.settings.checks_of_data import wrong_data, wrong_model, wrong_task
from audit.settings.checks_of_gates import wrong_gates
from audit.settings.config import AuditConfig
from audit.settings.mistakes import Mistake, Wrong, did_you_mean, listed
from audit.settings.reading import Loaded


def check(
    loaded: Loaded,
    metrics_of: Mapping[str, Collection[str]],
    instantiate: Callable[[str, Mapping[str, Any]], object] | None = None,
    units: int | None = None,
) -> list[Mistake]:
    """All that is wrong with a config, at once; empty where nothing is.

    Args:
        loaded: The config as read.
        metrics_of: The names of the probes there are, with those of the metrics each declares.
        instantiate: Makes a probe from its name and parameters, or raises a ValueError that says why it cannot; where
            None, parameters are not checked.
        units: Independent units (persons, else examples) that are trained on, where they have been counted; deltas
            are checked against it. The embedded world's are known without.
    """
    config = loaded.config
    wrong = [
        *wrong_model(config),
        *wrong_task(config),
        *wrong_data(config),
        *wrong_arms(config, units if units is not None else _units_of_world(config)),
        *_wrong_probes(config, metrics_of, instantiate),
        *wrong_gates(config, metrics_of),
    ]
    return [loaded.lines.mistake(*each) for each in wrong]


def _units_of_world(config: AuditConfig) -> int | None:
    world = config.data.world
    return None if world is None else world.core + world.pool


def _wrong_probes(
    config: AuditConfig,
    metrics_of: Mapping[str, Collection[str]],
    instantiate: Callable[[str, Mapping[str, Any]], object] | None,
) -> Iterator[Wrong]:
    for probe, parameters in (config.probes or {}).items():
        if probe not in metrics_of:
            near = did_you_mean(probe, metrics_of)
            yield Wrong(("probes", probe), "no such probe", near or f"there are {listed(metrics_of)}")
        elif instantiate is not None:
            try:
                instantiate(probe, parameters)
            except ValueError as error:
                yield Wrong(("probes", probe), str(error).removeprefix(f"{probe}: "))
