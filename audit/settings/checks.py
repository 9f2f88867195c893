"""What a check of several settings is: the settings it reads, and what it finds wrong in them.

A check whose settings are not all told, because one of them is itself a mistake, is left out: what it would say might
be no more than that mistake's consequence.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from audit.settings.mistakes import Place, Wrong

EVERY = "*"
"""In what a check reads: any name at that place."""


class Check(NamedTuple):
    """A check.

    Attributes:
        reads: The settings that it reads, each with all below it.
        find: What it finds wrong.
    """

    reads: tuple[Place, ...]
    find: Callable[[], Iterable[Wrong]]


def found(checks: Iterable[Check], untold: Collection[Place]) -> Iterator[Wrong]:
    """What all checks find whose settings are all told.

    Args:
        checks: The checks.
        untold: Settings whose value is not known.
    """
    for check in checks:
        if not any(_touch(place, read) for place in untold for read in check.reads):
            yield from check.find()


def below(place: Place, names: Iterable[str]) -> tuple[Place, ...]:
    """The places of some settings of a section."""
    return tuple((*place, name) for name in names)


def _touch(one: Place, other: Place) -> bool:
    """Whether one of two settings is the other, or a part of it."""
    return all(
        str(a) == str(b) or EVERY in (a, b)
        for a, b in zip(one, other, strict=False)  # the shorter one is the whole of which the longer is a part
    )
