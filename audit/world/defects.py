"""What is wrong in the embedded world, in sizes known beforehand: what an audit of it must find."""

from collections.abc import Mapping
from dataclasses import dataclass

from audit.settings.sections.data import World


@dataclass(frozen=True, kw_only=True)
class Defects:
    """Shares that the world's texts are drawn by.

    Attributes:
        stereotype: Share of the biographies whose pronoun is the one that the stereotype gives the occupation;
            0.5 is no stereotype.
        consistency: By region, share of tickets whose words agree with their label. The others speak for the opposite.
            Labels themselves stay evenly split everywhere: a skewed label would be learned instead of the words.
        has_other_words: Whether the other domain has words of sentiment of its own.
        neutral: Share of the other domain's tickets whose words of sentiment are replaced by neutral ones.
    """

    stereotype: float
    consistency: Mapping[str, float]
    has_other_words: bool
    neutral: float


PLANTED = Defects(stereotype=0.85, consistency={"north": 0.95, "south": 0.65}, has_other_words=True, neutral=0.7)
"""A reader of the words alone is right for 0.95 of the north and 0.65 of the south, a gap of 0.3, hence 0.8 of all, and
in the other domain for 0.3 · 0.8 + 0.7 · 0.5 = 0.59, a fall of 0.21."""

CLEAN = Defects(stereotype=0.5, consistency={"north": 0.9, "south": 0.9}, has_other_words=False, neutral=0.0)
"""A reader of the words is right for 0.9 of everybody, in either domain."""


def defects_of(world: World) -> Defects:
    """What is wrong in this world."""
    return PLANTED if world.planted else CLEAN
