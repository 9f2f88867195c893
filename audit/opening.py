"""From a config file to an order that can be carried out: read, checked, planned, and given its folder."""

import re
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from audit.commits import at_commit
from audit.planning.outline import why_not
from audit.planning.plan import Plan, make_plan
from audit.refusal import Damaged
from audit.running.order import Order
from audit.settings.mistakes import ConfigError
from audit.settings.reading import Loaded, read_with_mistakes
from audit.settings.validate import check
from audit.store import RunFolder, Store, digest, private_folder, read_json, write_json
from probes.catalog import PROBES, find, instantiate
from probes.protocol import Probe


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A config without mistakes, and its plan."""

    loaded: Loaded
    plan: Plan


def opened(path: Path, changes: Sequence[str] = ()) -> Opened:
    """Read a config file, check it, and plan it.

    Raises:
        ConfigError: All its mistakes.
    """
    loaded, mistakes = read_with_mistakes(path, changes)
    if loaded is not None:
        known = _known_probes(loaded)
        metrics_of = {name: frozenset(probe.metrics) for name, probe in known.items()}
        unjudged = {
            f"{name}.{metric}"
            for name, probe in known.items()
            for metric, spec in probe.metrics.items()
            if not spec.is_judged
        }
        told = {(mistake.file, mistake.key) for mistake in mistakes}
        more = check(loaded, metrics_of, instantiate, why_not, unjudged)
        mistakes += [mistake for mistake in more if (mistake.file, mistake.key) not in told]
    if mistakes or loaded is None:
        raise ConfigError(mistakes)
    return Opened(loaded=loaded, plan=make_plan(loaded.config))


def _known_probes(loaded: Loaded) -> dict[str, type[Probe]]:
    """Our own probes, and those of third parties that the config names."""
    known = dict(PROBES)
    for name in loaded.config.probes or {}:
        with suppress(ValueError):
            known[name] = find(name)
    return known


def ordered(
    opened: Opened, runs: Path, *, fresh_coins: bool = False, say: Callable[[str], None] = lambda words: None
) -> Order:
    """An order for an opened config: the run's folder is named by title, config and counter.

    The same config goes on in the same folder; fresh coins take the next number. Gates are no part of the
    name: changing them changes no number. A model on the hub is at the commit that the
    runs go by; `say` is told where it was found just now.

    Raises:
        ConfigError: The model on the hub is not there, or not reached.
    """
    config = loaded_title(at_commit(opened.loaded, runs, say))
    shared = config.as_written.model_dump(mode="json", exclude={"gates"})
    stem = f"{slug(config.config.title or '')}-{digest(shared)[:8]}"
    folder = (
        _with_fresh_coins(runs, stem) if fresh_coins else RunFolder(runs / f"{stem}-{max(_counter(runs, stem), 1)}")
    )
    coins = _sealed_coins(folder)
    return Order(
        config=config.config,
        as_written=config.as_written,
        plan=opened.plan,
        store=Store(runs),
        folder=folder,
        lines=config.lines,
        changes=config.changes,
        coins=config.config.seeds.coins if coins is None else coins,
    )


def _sealed_coins(folder: RunFolder) -> int | None:
    """The seed of the coins in a run's seal; None where there is no seal.

    Raises:
        Damaged: The seal is none that a run writes.
    """
    if not folder.seal.is_file():
        return None
    try:
        return int(read_json(folder.seal)["coins_seed"])
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(
            f"{folder.seal}: damaged or changed, so the coins it seals are not known; remove the run's folder"
        ) from error


def _with_fresh_coins(runs: Path, stem: str) -> RunFolder:
    """A new folder with the next number, in whose seal new coins are written before anything else is done.

    So an interrupted run goes on with the coins it drew.
    """
    private_folder(runs)
    number = _counter(runs, stem) + 1
    while True:
        folder = RunFolder(runs / f"{stem}-{number}")
        try:
            folder.path.mkdir(mode=0o700)
        except FileExistsError:  # another process took the number
            number += 1
            continue
        write_json(folder.seal, {"coins_seed": secrets.randbits(128)})
        return folder


def loaded_title(loaded: Loaded) -> Loaded:
    """The same with the file's name as title where the file gives none."""
    if loaded.config.title:
        return loaded
    title = {"title": loaded.path.stem}
    return Loaded(
        config=loaded.config.model_copy(update=title),
        as_written=loaded.as_written.model_copy(update=title),
        path=loaded.path,
        changes=loaded.changes,
        lines=loaded.lines,
    )


def slug(title: str) -> str:
    """The title in letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40] or "audit"


def _counter(runs: Path, stem: str) -> int:
    """The highest number among the runs of a config; 0 where there is none."""
    return max(
        (int(p.name.rsplit("-", 1)[1]) for p in runs.glob(f"{stem}-*") if p.name[len(stem) + 1 :].isdigit()), default=0
    )
