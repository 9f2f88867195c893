"""At which commit a model on the hub is taken, where the config names none: the newest at first use, and from then on.

A branch moves, so what was found is kept with the runs: the next run of the config audits the same model, and the
record tells its commit as if it had been written.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from audit.refusal import Refused
from audit.settings.config import AuditConfig
from audit.settings.mistakes import ConfigError
from audit.settings.reading import Loaded
from audit.settings.sections.models import WORLD, Model
from audit.store import private_folder, read_json, write_json

_FILE = "commits.json"
_CONSENT = "has to be asked for on its page on the hub; then log in with 'hf auth login'"
_ABSENT = "no such model on the hub, or none that you may see; give its whole name, or a folder"
_UNREACHED = "the hub is not reached, and no copy of the model lies on this machine; give a folder"
_NO_MODEL = "has no config.json, so it is no model of transformers; give another"


def at_commit(loaded: Loaded, runs: Path, say: Callable[[str], None] = lambda words: None) -> Loaded:
    """The same config with a commit where it leaves that of a model on the hub open.

    Args:
        loaded: The config.
        runs: Folder of all runs, with which the commit is kept.
        say: Told in a sentence what was found, where this is the first use.

    Raises:
        ConfigError: There is no such model, or the hub is not reached.
        Refused: What is kept with the runs cannot be read.
    """
    name = _without_commit(loaded.config.model)
    if name is None:
        return loaded
    kept = _kept(runs / _FILE)
    if name not in kept:
        try:
            kept[name] = _newest(name)
        except Refused as error:
            raise ConfigError([loaded.lines.mistake(("model", "name"), f"{name}: {error}")]) from error
        write_json(private_folder(runs) / _FILE, kept)
        say(
            f"{name}: taken at commit {kept[name]}, the newest; runs in {runs} keep to it (model.revision: for another)"
        )
    config, as_written = (_at(c, kept[name]) for c in (loaded.config, loaded.as_written))
    return replace(loaded, config=config, as_written=as_written)


def _without_commit(model: Model) -> str | None:
    """The name of a model on the hub whose commit is left open."""
    is_on_hub = model.name != WORLD and not Path(model.name).is_absolute()
    return model.name if is_on_hub and model.revision is None else None


def _kept(path: Path) -> dict[str, str]:
    """Commits by the names of models.

    Raises:
        Refused: The file was changed by hand.
    """
    if not path.is_file():
        return {}
    try:
        return {str(name): str(commit) for name, commit in read_json(path).items()}
    except (ValueError, AttributeError) as error:
        raise Refused(f"{path}: damaged; remove it, and the next run takes the newest commits again") from error


def _at(config: AuditConfig, commit: str) -> AuditConfig:
    return config.model_copy(update={"model": config.model.model_copy(update={"revision": commit})})


def _newest(name: str) -> str:
    """The commit at which the hub's default branch is, or, out of its reach, at which this machine's copy was taken.

    Raises:
        Refused: There is neither.
    """
    from huggingface_hub import errors, hf_hub_download

    try:
        config = hf_hub_download(name, "config.json")
    except errors.GatedRepoError as error:
        raise Refused(_CONSENT) from error
    except errors.RepositoryNotFoundError as error:
        raise Refused(_ABSENT) from error
    except errors.LocalEntryNotFoundError as error:
        raise Refused(_UNREACHED) from error
    except errors.EntryNotFoundError as error:
        raise Refused(_NO_MODEL) from error
    except (OSError, ValueError) as error:
        raise Refused(f"cannot be looked up on the hub ({str(error).strip().splitlines()[0].rstrip('.')})") from error
    return Path(config).parent.name  # the cache keeps a file under the commit it is of
