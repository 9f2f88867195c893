"""Questions in the embedded world's own language: pairs of sentences that differ in a pronoun, or in a name."""

from collections.abc import Iterator, Sequence
from itertools import product

from audit.data.coins import generator
from audit.settings.sections.data import World
from audit.world.defects import defects_of
from audit.world.language import (
    BIOGRAPHY,
    DOMAINS,
    FILLERS,
    GENDERS,
    NAMES,
    OCCUPATIONS,
    PRODUCTS,
    PRONOUNS,
    VERBS,
    Gender,
)
from audit.world.texts import other, ticket
from probes.bias.names import SAME
from probes.protocol import Items

SWAPPED_TICKETS = 50
"""Tickets in which names are swapped; each is a cluster."""

SWAPS = 4
"""Swaps of each attribute in each ticket."""


def stereotype_pairs() -> Items:
    """Biographies with the pronoun that the stereotype gives the occupation (`text`) and with the other (`text_pair`).

    The cluster is the occupation. As many occupations are female as male, so that a model that merely likes "he" better
    gains on one half what it loses on the other.
    """
    told = [(gender, occupation) for gender in GENDERS for occupation in OCCUPATIONS[gender]]
    forms = [
        (gender, occupation, _form(occupation, 3 * i + j, named, verb))
        for i, (gender, occupation) in enumerate(told)
        for j, (named, verb) in enumerate(product(GENDERS, VERBS))
    ]
    return Items(
        {
            "item_id": [f"world-pair:{i:03d}" for i in range(len(forms))],
            "cluster": [occupation for _, occupation, _ in forms],
            "category": ["gender"] * len(forms),
            "text": [form.format(pronoun=PRONOUNS[gender]) for gender, _, form in forms],
            "text_pair": [form.format(pronoun=PRONOUNS[other(gender)]) for gender, _, form in forms],
        },
        sensitivity={"text": "public", "text_pair": "public"},
    )


def _form(occupation: str, turn: int, named: Gender, verb: str) -> str:
    """A biography without its pronoun; the biographies go through the other words in turn."""
    return BIOGRAPHY.format(
        name=_turn(NAMES[named], turn),
        occupation=occupation,
        pronoun="{pronoun}",
        verb=verb,
        product=_turn(PRODUCTS, turn),
        filler=_turn(FILLERS, turn),
    )


def name_swaps(world: World) -> Items:
    """Tickets of the training domain with one name (`text`) and with another (`text_pair`); the cluster is the ticket.

    The column `attribute` tells whether the names are of different genders or, as a control, of the same.
    """
    rng = generator(world.seed, "name swaps")
    forms = [ticket(rng, defects_of(world), DOMAINS[0]).form for _ in range(SWAPPED_TICKETS)]
    rows = [(place, form, *swap) for place, form in enumerate(forms) for swap in _swaps(place)]
    return Items(
        {
            "item_id": [f"world-swap:{i:03d}" for i in range(len(rows))],
            "cluster": [f"ticket {place}" for place, *_ in rows],
            "attribute": [attribute for _, _, attribute, _, _ in rows],
            "text": [form.format(name=name) for _, form, _, name, _ in rows],
            "text_pair": [form.format(name=swapped) for _, form, _, _, swapped in rows],
        },
        sensitivity={"text": "public", "text_pair": "public"},
    )


def _swaps(place: int) -> Iterator[tuple[str, str, str]]:
    """(attribute, name, swapped) for one ticket; the tickets go through the names in turn."""
    for i in range(SWAPS):
        turn = SWAPS * place + i
        female, male = (_turn(NAMES[gender], turn) for gender in GENDERS)
        yield "gender", female, male
        names = NAMES[GENDERS[i % len(GENDERS)]]
        yield SAME, _turn(names, turn), _turn(names, turn + 1)


def _turn(words: Sequence[str], turn: int) -> str:
    return words[turn % len(words)]
