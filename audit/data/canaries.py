"""Canaries: texts made for the audit, each planted in the twins by a fair coin of its own.

They are made after near-duplicates are clustered and are never merged with anything. Every canary contains a part
that is unique to it, its `secret`: what a model knows of that, it knows from this canary. What they say is made in
`audit.data.canary_texts`.

Sources: Carlini et al. (2019), https://arxiv.org/abs/1802.08232, section 4 (random secrets in a fixed sentence, ranked
among others of the same form); Steinke, Nasr and Jagielski (2023), https://arxiv.org/abs/2305.08846, Algorithm 1 (an
independent coin for each canary).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

import numpy as np

from audit.data.canary_texts import Canary, CanaryTexts
from audit.data.coins import fair_coins, generator, pseudonym
from audit.data.forms import Form, draw_secrets
from audit.data.rows import UNKNOWN
from audit.data.splits import stack
from audit.settings.sections.data import Canaries
from probes.protocol import Items

DEFAULT = Canaries(kind="random", count=200)
"""What is planted where the config is silent and a probe asks for canaries."""

_RANKED = ("in_distribution", "random_suffix", "new_token")
"""Kinds of canaries besides secrets that are ranked among never-planted ones of their kind."""


@dataclass(frozen=True)
class _Supply:
    """Different secrets of one form: canaries take theirs first, the references are what is left."""

    name: str
    form: Form
    secrets: Iterator[str]

    @classmethod
    def draw(cls, form: Form, name: str, specs: Sequence[Canaries], seed: int) -> Self:
        """As many as all entries of this form need."""
        mine = [spec for spec in specs if form in _forms_of(spec)]
        needed = sum(_shares(spec)[form] for spec in mine) + max(spec.references for spec in mine)
        return cls(name, form, iter(draw_secrets(form, needed, generator(seed, f"secrets {name}"))))


def make_canaries(
    specs: Sequence[Canaries],
    core: Items,
    *,
    classes: int,
    seed: int,
    salt: str,
    known: Iterable[str] = (),
    unused: Callable[[Iterable[str]], Sequence[str]] = lambda texts: (),
) -> tuple[Items | None, Items | None]:
    """Make the canaries that a config asks for, and toss their coins.

    Args:
        specs: What to make.
        core: The training texts outside the audit pool.
        classes: Number of the task's classes; 0 for language models.
        seed: Seed of texts and coins; each entry of `specs` has draws of its own.
        salt: Salt of the identifiers.
        known: The audit's other texts; no canary that is like the training texts is one of them.
        unused: Gives the words that are one token to the model and stand neither in a text of the audit nor in any of
            those that it gets: the canaries of other kinds. Called where a new token is asked for.

    Returns:
        The canaries, None where there are none: `item_id`, `cluster` (its own for each), `text`, `text_pair` and
        `label` where the task has them, `kind`, `repetitions`, `is_member` (planted), `secret` and `form`; where some
        begin as a training text also `group:<attribute>` as the core has it, `UNKNOWN` for all that are invented.
        And never-planted ones of the same forms, None where there are none: `item_id`, `cluster` (the `form` of the
        canaries they are there for), `text`, `text_pair` and `label` where the task has them, `kind`, and `secret`
        where some are no secrets in a sentence. A model that classifies by a word is trained on text and word, so what
        planted secrets are ranked among ends in one too.

    Raises:
        DataError: A template without {secret}, fewer possible secrets than asked for, mislabelled canaries without
            classes, training texts that are too few or have too few words, or a vocabulary with too few unused ones.
    """
    parts: dict[int, Items] = {}
    texts = CanaryTexts(core, classes, known, lambda: unused(_said(parts.values())))
    supplies = {form: _Supply.draw(form, name, specs, seed) for form, name in _forms(specs).items()}
    for place, spec in sorted(enumerate(specs), key=lambda entry: entry[1].kind == "new_token"):  # the others first
        made, forms = _made(spec, texts, supplies, generator(seed, f"canaries {place}"))
        ids = [pseudonym(salt, "canary", place, i) for i in range(spec.count)]
        parts[place] = _items(made, ids).assign(
            **texts.material.groups((canary.row, canary.end) for canary in made),
            kind=[spec.kind] * spec.count,
            repetitions=np.full(spec.count, spec.repetitions),
            is_member=fair_coins(seed, f"canary coins {place}", spec.count),
            form=forms,
        )
    canaries = _stacked([parts[place] for place in sorted(parts)]) if parts else None
    return canaries, _all_references(specs, texts, supplies, seed, salt)


def _said(parts: Iterable[Items]) -> Iterator[str]:
    """Every text, second ones included."""
    return (text for part in parts for column in ("text", "text_pair") if column in part for text in part[column])


def _made(
    spec: Canaries, texts: CanaryTexts, supplies: dict[Form, _Supply], rng: np.random.Generator
) -> tuple[list[Canary], list[str]]:
    """The canaries of one entry, and the form of each."""
    if spec.kind != "secret":
        return getattr(texts, spec.kind)(spec.count, rng), [spec.kind] * spec.count
    made, forms = [], []
    for form, count in _shares(spec).items():
        made += texts.secret(form, islice(supplies[form].secrets, count), rng)
        forms += [supplies[form].name] * count
    return made, forms


def _all_references(
    specs: Sequence[Canaries], texts: CanaryTexts, supplies: dict[Form, _Supply], seed: int, salt: str
) -> Items | None:
    """What planted canaries are ranked among: what is left of each form of secrets, and more of the ranked kinds."""
    secrets = [_of_supply(supply, texts.material.paired, salt) for supply in supplies.values()]
    parts = [_labelled(stack(secrets), texts.material.classes, seed)] if secrets else []
    alike = [_alike(kind, specs, texts, seed, salt) for kind in _RANKED if any(spec.kind == kind for spec in specs)]
    if parts or alike:
        references = stack([*parts, *alike])
        return references if alike else Items(references.drop(["secret"]))
    return None


def _of_supply(supply: _Supply, paired: bool, salt: str) -> Items:
    secrets = list(supply.secrets)
    columns: dict[str, Any] = {
        "item_id": [pseudonym(salt, "canary reference", supply.name, i) for i in range(len(secrets))],
        "cluster": [supply.name] * len(secrets),
        "text": [supply.form.text(secret) for secret in secrets],
        "kind": ["secret"] * len(secrets),
    }
    columns |= {"text_pair": [""] * len(secrets)} if paired else {}
    return Items({**columns, "secret": secrets})


def _alike(kind: str, specs: Sequence[Canaries], texts: CanaryTexts, seed: int, salt: str) -> Items:
    """As many references of a ranked kind as its entries ask for at most, made as its canaries are."""
    count = max(spec.references for spec in specs if spec.kind == kind)
    made = getattr(texts, kind)(count, generator(seed, f"references {kind}"), reuse=True)
    ids = [pseudonym(salt, "canary reference", kind, i) for i in range(count)]
    return _items(made, ids).assign(cluster=[kind] * count, kind=[kind] * count)


def _labelled(references: Items, classes: int, seed: int) -> Items:
    """The references with labels drawn as those of the canaries are."""
    if not classes:
        return references
    return references.assign(label=generator(seed, "reference labels").integers(classes, size=references.n))


def _shares(spec: Canaries) -> dict[Form, int]:
    """How many canaries of an entry are of each form: as many of each, and one more of the first where they must."""
    forms = _forms_of(spec)
    return {form: spec.count // len(forms) + (i < spec.count % len(forms)) for i, form in enumerate(forms)}


def _forms_of(spec: Canaries) -> tuple[Form, ...]:
    sentences = dict.fromkeys(spec.templates or (spec.template,))
    return tuple(Form.of(spec.secret, spec.digits, each) for each in sentences) if spec.kind == "secret" else ()


def _forms(specs: Sequence[Canaries]) -> dict[Form, str]:
    """The different forms of secrets, each with its name; entries of one form share their references."""
    forms = dict.fromkeys(form for spec in specs for form in _forms_of(spec))
    return {form: f"{form.kind}-{number}" for number, form in enumerate(forms, start=1)}


def _stacked(parts: Sequence[Items]) -> Items:
    """The rows of all parts; where some parts have groups, those of the others belong to none that is known."""
    groups = dict.fromkeys(column for part in parts for column in part if column.startswith("group:"))
    return stack([part.assign(**{g: [UNKNOWN] * part.n for g in groups if g not in part}) for part in parts])


def _items(made: Sequence[Canary], ids: Sequence[str]) -> Items:
    columns: dict[str, Any] = {"item_id": ids, "cluster": ids, "text": [canary.text for canary in made]}
    if made[0].text_pair is not None:
        columns["text_pair"] = [canary.text_pair for canary in made]
    if made[0].label is not None:
        columns["label"] = np.array([canary.label for canary in made], dtype=np.int64)
    return Items({**columns, "secret": [canary.secret for canary in made]})
