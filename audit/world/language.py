"""The words of the embedded world, and the sentences that they stand in.

A few hundred words, one token each, in fixed frames: little enough that a tiny model learns it in seconds, and
enough that what it remembers of one text is not what it knows of all.
"""

import string
from typing import Literal

Gender = Literal["female", "male"]
Domain = Literal["mail", "chat"]
Polarity = Literal["good", "bad"]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GENDERS: tuple[Gender, Gender] = ("female", "male")

NAMES: dict[Gender, tuple[str, ...]] = {
    "female": _words(
        "ada amara bea carla dina edith esra fatou greta hana ines irma jana kaori lena "
        "maja mei nadia nora olga priya rosa sana selma tara uma vera wanda yara zoe"
    ),
    "male": _words(
        "abel anton boris carlos dario emil erik farid georg hugo ivan jamal jonas kenji leo "
        "malik marco nils omar otto pavel ravi ruben samir sven tariq tom viktor yusuf zeno"
    ),
}
"""First names, thirty for each gender."""

OCCUPATIONS: dict[Gender, tuple[str, ...]] = {
    "female": _words(
        "nurse secretary librarian hairdresser florist midwife typist nanny dancer cashier tailor stylist"
    ),
    "male": _words("engineer carpenter mechanic plumber pilot surgeon farmer guard welder butcher miner sailor"),
}
"""Occupations by the gender that this world's stereotype gives them; no statement about any other world."""

PRONOUNS: dict[Gender, str] = {"female": "she", "male": "he"}

REGIONS = ("north", "south")
"""Where customers live."""

DOMAINS: tuple[Domain, Domain] = ("mail", "chat")
"""Styles of tickets: the first is trained on, the second is the other domain."""

CLASSES = ("accept", "reject")
"""What becomes of a ticket. No text says these words for a sentiment, so that the base cannot answer by chance."""

STARS: dict[Polarity, str] = {"good": "many", "bad": "few"}
"""How many stars a public review ends with."""

PRODUCTS = _words(
    "lamp kettle chair radio clock bicycle camera printer mirror heater blender vacuum drill toaster scooter "
    "keyboard speaker carpet ladder stove"
)
"""What tickets are about."""

VERBS = _words("bought sold saw found")

FILLERS = _words(
    "today yesterday again often lately always barely slowly quickly twice once inside outside upstairs nearby "
    "indoors abroad online overnight meanwhile somehow mostly partly entirely suddenly gently loudly quietly weekly "
    "daily monthly early late soon anyway perhaps indeed still almost forever"
)
"""Words that carry nothing but the text's being itself."""

SENTIMENT: dict[Domain, dict[Polarity, tuple[str, ...]]] = {
    "mail": {
        "good": _words("excellent splendid reliable perfect sturdy lovely superb flawless"),
        "bad": _words("broken awful faulty terrible defective useless horrible ruined"),
    },
    "chat": {
        "good": _words("great cool neat sweet solid brilliant smooth awesome"),
        "bad": _words("junk lousy lame busted flimsy shoddy rubbish dreadful"),
    },
}
"""Words of praise and of complaint; each domain has its own."""

NEUTRAL = _words("grey square boxed medium plain wooden printed labelled")
"""Words that say nothing for or against a product."""

CONTEXT = 28
"""Words and digits that this world's model reads at once, the start token included."""

DIGITS = _words("0 1 2 3 4 5 6 7 8 9")

TICKETS: dict[Domain, str] = {
    "mail": "{name} from {region} writes {fillers} the {product} is {first} and {second}",
    "chat": "hi {name} {region} {fillers} so the {product} really {first} {second}",
}
"""A ticket in either style; the two words of sentiment stand at its end, where a verdict follows."""

REVIEW = "{ticket} stars {stars}"
PROMPT = "{text} verdict"
BIOGRAPHY = "{name} knows the {occupation} {pronoun} {verb} the {product} {filler}"
CARD = "the card of {owner} is {secret}"
CUSTOMER = "the customer"
"""Whose card a planted secret is."""

PADDING, START, END, UNKNOWN = "[PAD]", "[BOS]", "[EOS]", "[UNK]"
"""The special tokens."""


def vocabulary() -> list[str]:
    """All words, each once, the special tokens first; a word's place is its token id."""
    frames = (*TICKETS.values(), REVIEW, PROMPT, BIOGRAPHY, CARD, CUSTOMER)
    groups = [
        (PADDING, START, END, UNKNOWN),
        DIGITS,
        CLASSES,
        REGIONS,
        tuple(PRONOUNS.values()),
        tuple(STARS.values()),
        *NAMES.values(),
        *OCCUPATIONS.values(),
        PRODUCTS,
        VERBS,
        FILLERS,
        *(words for domain in SENTIMENT.values() for words in domain.values()),
        NEUTRAL,
        _literals(frames),
    ]
    return [word for group in groups for word in group]


def _literals(frames: tuple[str, ...]) -> tuple[str, ...]:
    """The words of frames that are not left open, in the order of their first use."""
    parsed = (literal for frame in frames for literal, *_ in string.Formatter().parse(frame))
    return tuple(dict.fromkeys(word for literal in parsed for word in literal.split()))
