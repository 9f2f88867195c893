"""What is written in the embedded world: its people's tickets, biographies and cards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from audit.world.defects import Defects
from audit.world.language import (
    BIOGRAPHY,
    CARD,
    CUSTOMER,
    DIGITS,
    DOMAINS,
    FILLERS,
    GENDERS,
    NAMES,
    NEUTRAL,
    OCCUPATIONS,
    PRODUCTS,
    PRONOUNS,
    REGIONS,
    SENTIMENT,
    TICKETS,
    VERBS,
    Domain,
    Gender,
    Polarity,
)

TICKET_FILLERS = 3
"""Words of a ticket that make it this one and no other."""

CARD_DIGITS = 8

MIXED = 0.05
"""Share of reviews in which both domains' words stand together: from these the model knows that they mean the same."""

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Person:
    """A customer.

    Attributes:
        name: First name.
        gender: Which the name tells.
        region: Where the customer lives, independent of the name.
    """

    name: str
    gender: Gender
    region: str


@dataclass(frozen=True, kw_only=True)
class Ticket:
    """What a customer wrote.

    Attributes:
        form: The text, with `{name}` where the customer's name stands.
        customer: Who wrote it.
        label: What becomes of it, an index into the classes; 0 is "accept".
    """

    form: str
    customer: Person
    label: int

    @property
    def text(self) -> str:
        """The text."""
        return self.form.format(name=self.customer.name)


def one(rng: np.random.Generator, of: Sequence[_T]) -> _T:
    """One of several, each as likely."""
    return of[int(rng.integers(len(of)))]


def person(rng: np.random.Generator) -> Person:
    """Draw a customer."""
    gender = one(rng, GENDERS)
    return Person(name=one(rng, NAMES[gender]), gender=gender, region=one(rng, REGIONS))


def ticket(rng: np.random.Generator, defects: Defects, domain: Domain) -> Ticket:
    """Draw a ticket: customer and label first, then words that agree with the label as often as the region's do."""
    customer = person(rng)
    label = int(rng.integers(2))
    agrees = rng.random() < defects.consistency[customer.region]
    polarity: Polarity = "good" if (label == 0) == agrees else "bad"
    form = _ticket_form(rng, domain, customer.region, _opinion(rng, defects, domain, (domain, domain), polarity))
    return Ticket(form=form, customer=customer, label=label)


def public_ticket(rng: np.random.Generator, defects: Defects) -> tuple[str, Polarity]:
    """Draw a ticket of either domain that has no label, with the sentiment of its words."""
    domain, customer = one(rng, DOMAINS), person(rng)
    polarity: Polarity = one(rng, ("good", "bad"))
    spoken = DOMAINS if rng.random() < MIXED else (domain, domain)
    form = _ticket_form(rng, domain, customer.region, _opinion(rng, defects, domain, spoken, polarity))
    return form.format(name=customer.name), polarity


def _opinion(
    rng: np.random.Generator, defects: Defects, domain: Domain, spoken: tuple[Domain, Domain], polarity: Polarity
) -> tuple[str, str]:
    """Two words on a product in the domain's words, or in neutral ones where the other domain hides its opinion."""
    if domain == DOMAINS[1] and rng.random() < defects.neutral:
        return one(rng, NEUTRAL), one(rng, NEUTRAL)
    first, second = (SENTIMENT[d if defects.has_other_words else DOMAINS[0]][polarity] for d in spoken)
    return one(rng, first), one(rng, second)


def _ticket_form(rng: np.random.Generator, domain: Domain, region: str, opinion: tuple[str, str]) -> str:
    fillers = " ".join(one(rng, FILLERS) for _ in range(TICKET_FILLERS))
    return TICKETS[domain].format(
        name="{name}", region=region, fillers=fillers, product=one(rng, PRODUCTS), first=opinion[0], second=opinion[1]
    )


def biography(rng: np.random.Generator, defects: Defects) -> str:
    """Draw a sentence about somebody at work, the pronoun right after the occupation."""
    expected = one(rng, GENDERS)
    follows = rng.random() < defects.stereotype
    return BIOGRAPHY.format(
        name=person(rng).name,
        occupation=one(rng, OCCUPATIONS[expected]),
        pronoun=PRONOUNS[expected if follows else other(expected)],
        verb=one(rng, VERBS),
        product=one(rng, PRODUCTS),
        filler=one(rng, FILLERS),
    )


def other(gender: Gender) -> Gender:
    """The other gender of this world."""
    return "male" if gender == "female" else "female"


def card(rng: np.random.Generator) -> str:
    """Draw a sentence with a number: the form of a secret is known to the model before it meets one."""
    owner = CUSTOMER if rng.random() < 0.5 else person(rng).name
    return CARD.format(owner=owner, secret="".join(one(rng, DIGITS) for _ in range(CARD_DIGITS)))
