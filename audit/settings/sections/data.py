"""The section of the data: where rows come from, what is held out of them, and what is planted in the twins."""

from typing import Annotated, Literal

from pydantic import Field, Tag

from audit.settings.sections.strict import Name, Positive, Seed, Share, Strict, by_shape


class World(Strict):
    """The embedded world: a small language with planted defects of known size, or a clean control without them."""

    planted: bool = True
    """Whether the defects are there; false makes the control world."""
    seed: Seed = 0
    """Seed of the world itself: its people, tickets and secrets."""
    core: Positive = 500
    """Tickets that are always trained on."""
    pool: Positive = 800
    """Tickets in the audit pool."""
    test: Positive = 800
    """Test tickets in each of the two domains."""


class Source(Strict):
    """Where rows come from: a local file or a data set on the hub."""

    file: str | None = None
    """CSV, JSONL or Parquet file, relative to the config file."""
    hub: str | None = None
    """Name of a data set on the hub."""
    revision: str | None = None
    """Commit hash of the hub data set."""
    subset: str | None = None
    """Configuration name of the hub data set."""
    split: str = "train"
    """Split of the hub data set."""
    text: str | None = None
    """Column of the text; where silent, the training data's."""
    text_pair: str | None = None
    """Column of the second text, for pairs."""
    label: str | None = None
    """Column of the label."""
    label_names: dict[Name, Name] | None = None
    """The file's label to the class name; labels that are not named here are bad rows."""
    id: str | None = None
    """Column of an identifier; stored salted."""
    person: str | None = None
    """Column of the person a row belongs to; stored salted."""
    domain: str | None = None
    """Column of the domain; the training domain is its most frequent value unless `in_domain` names another."""
    groups: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Columns of protected attributes; a missing value is the group "unknown"."""
    limit: Positive | None = None
    """Read at most this many rows, drawn by seed 0: for trying out."""


class Canaries(Strict):
    """Canaries to plant in the twins, each by a fair coin of its own."""

    kind: Literal["random", "secret", "mislabelled", "in_distribution", "random_suffix", "new_token"]
    """Random words; a templated secret; a training-like text with a wrong label; two halves of training texts in one;
    the beginning of a training text with random words after it, or with one word that no text has and that is one token
    to the model."""
    count: Positive
    """How many are made; about half of them are planted."""
    repetitions: Positive = 1
    """How often a planted one stands in the training data; bounds on epsilon use those planted once."""
    template: str | None = None
    """For "secret": the text around it, such as "the card of the customer is {secret}"."""
    templates: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """For "secret", instead of template: several texts, each around an even part of the secrets."""
    secret: Literal["digits", "card", "phone", "key"] = "digits"
    """For "secret": what is drawn. Cards pass the Luhn check and use a test prefix."""
    digits: Annotated[int, Field(ge=2, le=32)] = 8
    """For "secret: digits": how many."""
    references: Positive = 1000
    """For "secret", with each template, "in_distribution", "random_suffix" and "new_token": how many never-planted ones
    of the same form the rank is taken among."""


class NearDuplicates(Strict):
    """When two texts count as the same evidence."""

    threshold: Share = 0.8
    """Jaccard similarity of their word shingles from which they share a cluster."""
    boilerplate: Share = 0.2
    """Shingles that stand in more than this share of the texts are set aside first."""


HeldOut = Annotated[
    Annotated[Share, Tag("=number")] | Annotated[Source, Tag("=mapping")],
    by_shape("must be a share between 0 and 1, or a mapping with file or hub"),
]


class Data(Source):
    """The training data, what is held out of them, and what is planted in the twins."""

    world: World | None = None
    """Use the embedded world instead of a file."""
    validation: HeldOut | None = None
    """Held-out share or a source of its own; where silent 0.1. Never trained on."""
    test: HeldOut | None = None
    """Held-out share or a source of its own; where silent 0.2. Never trained on."""
    domains: dict[str, Source] = {}
    """Other domains to be tested on, by name; a column not given is the training data's."""
    in_domain: str | None = None
    """With a domain column: its value in training; rows of other values are tested on, never trained on."""
    bad_rows: Literal["refuse", "skip"] = "refuse"
    """What to do with rows without text, with unknown labels, in a wrong encoding: stop, or leave out and count."""
    near_duplicates: NearDuplicates = NearDuplicates()
    """How near-duplicates are found."""
    minimum_units: Positive = 100
    """Refuse to train on fewer independent units (clusters, or persons) than this."""
    pool: Positive | None = None
    """Size of the audit pool in clusters; where silent min(2,200, 20 % of them)."""
    canaries: Annotated[tuple[Canaries, ...], Field(strict=False)] = ()
    """What is planted in twins; where silent and a canary probe is on, 200 random ones planted once."""
