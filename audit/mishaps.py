"""What an exception means to the user of the command line: a mistake to mend, an interruption, or a bug of ours."""

import errno
import traceback
from pathlib import Path

from audit.data.files import DataError
from audit.exits import BUG, INTEGRITY, INTERRUPTED, NOT_COMPARABLE, USAGE, Ended
from audit.refusal import Damaged, Incomparable, Refused
from audit.settings.mistakes import ConfigError

_MODELS = frozenset(
    {
        "torch",
        "transformers",
        "opacus",
        "peft",
        "safetensors",
        "tokenizers",
        "datasets",
        "datasketch",
        "huggingface_hub",
    }
)
_OF_THE_MACHINE = frozenset({errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EROFS, errno.EDQUOT})
"""Rights and full disks: nothing that we could have done otherwise."""

_BUG = (
    "this is a bug in finetune-audit, no mistake of yours; please report it with what follows (it may quote your data)"
)


def ended(error: BaseException) -> Ended:
    """The end that an exception makes of a verb."""
    if isinstance(error, Ended):
        return error
    if isinstance(error, Damaged):
        return Ended(str(error), INTEGRITY)
    if isinstance(error, Incomparable):
        return Ended(str(error), NOT_COMPARABLE)
    if isinstance(error, ConfigError | DataError | Refused):
        return Ended(str(error), USAGE)
    if isinstance(error, KeyboardInterrupt):
        return Ended("interrupted; run the same command again to go on from here", INTERRUPTED)
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in _MODELS:
        return Ended(f"{error.name} is not installed; to train and to ask, install 'finetune-audit[models]'", USAGE)
    if isinstance(error, FileNotFoundError) and "objects" in Path(error.filename or "").parts:
        lost = Path(error.filename)
        return Ended(f"{lost.parent}: a stored object that lost its {lost.name}; remove it and run again", INTEGRITY)
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        where = f"{error.filename}: " if error.filename else ""
        return Ended(f"{where}{(error.strerror or str(error)).lower()}", USAGE)
    trace = "".join(traceback.format_exception(error))
    return Ended(f"{_BUG}\n{trace}", BUG, error=f"{_BUG.partition(';')[0]}: {type(error).__name__}")
