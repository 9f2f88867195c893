"""The embedded world's data as an audit's splits: tickets to train on, to test on, coins, and secrets to plant."""

import numpy as np

from audit.data.canaries import make_canaries
from audit.data.coins import commitment, fair_coins, generator, pseudonym
from audit.data.files import DataError
from audit.data.quality import data_quality
from audit.data.splits import Splits
from audit.settings.config import AuditConfig
from audit.settings.sections.data import Canaries, World
from audit.world.defects import defects_of
from audit.world.language import CARD, CLASSES, CONTEXT, CUSTOMER, DOMAINS, Domain, vocabulary
from audit.world.texts import CARD_DIGITS, ticket
from probes.protocol import Items

GROUPS = ("region", "gender")

VALIDATION = 4
"""One validation ticket for so many test tickets."""

CUSTOMER_CARD = CARD.format(owner=CUSTOMER, secret="{secret}")
"""The sentence that secrets are planted in where the config names none."""

SECRETS = Canaries(kind="secret", count=200, template=CUSTOMER_CARD, digits=CARD_DIGITS)
"""What is planted where the config is silent."""

_CARD_LENGTH = 16
_AROUND = 3  # a start token, and a verdict of two words


def splits(config: AuditConfig, *, salt: str, canaries_wanted: bool = True) -> Splits:
    """The data of an audit of the embedded world.

    Every ticket is drawn by itself and has a customer of its own, so each is a cluster of its own: texts from the same
    frame are alike without being copies. Tickets follow from the world's seed, coins and secrets from `seeds.coins`.

    Args:
        config: The audit; its world, canaries and seeds are read.
        salt: What identifiers are hashed with.
        canaries_wanted: Plant `SECRETS` where the config names no canaries.

    Raises:
        DataError: A canary that the world's language cannot say, or that its model cannot read to the end.
    """
    world, seed = config.data.world or World(), config.seeds.coins
    mail, chat = DOMAINS
    tickets = _tickets(world, "train", mail, world.core + world.pool, salt)
    is_pool = np.arange(tickets.n) >= world.core
    pool = tickets.take(is_pool).assign(is_member=fair_coins(seed, "pool coins", world.pool))
    train = tickets.assign(in_pool=is_pool)
    specs = [_said_here(spec) for spec in config.data.canaries or ((SECRETS,) if canaries_wanted else ())]
    validation = _tickets(world, "validation", mail, max(1, world.test // VALIDATION), salt)
    test = _tickets(world, "test", mail, world.test, salt)
    domains: dict[str, Items] = {chat: _tickets(world, f"domain:{chat}", chat, world.test, salt)}
    known = (text for items in (tickets, validation, test, *domains.values()) for text in items["text"])
    canaries, references = make_canaries(
        specs, tickets.take(~is_pool), classes=len(CLASSES), seed=seed, salt=salt, known=known
    )
    quality = data_quality(
        train=train,
        pool=pool,
        validation=validation,
        test=test,
        domains=domains,
        canaries=canaries,
        groups=GROUPS,
        read=train.n + validation.n + 2 * world.test,
        bad={},
    )
    return Splits(
        train=train,
        pool=pool,
        validation=validation,
        test=test,
        domains=domains,
        canaries=canaries,
        canary_references=references,
        classes=CLASSES,
        groups=GROUPS,
        quality=quality,
        commitment=commitment(salt, pool, canaries),
    )


def _tickets(world: World, name: str, domain: Domain, count: int, salt: str) -> Items:
    """Tickets of one domain; each split has draws of its own."""
    rng, defects = generator(world.seed, f"world {name}"), defects_of(world)
    drawn = [ticket(rng, defects, domain) for _ in range(count)]
    ids = [pseudonym(salt, "world", name, place) for place in range(count)]
    return Items(
        {
            "item_id": ids,
            "cluster": ids,
            "text": [one.text for one in drawn],
            "label": np.array([one.label for one in drawn], dtype=np.int64),
            "person": [pseudonym(salt, "person", name, place) for place in range(count)],
            "domain": [domain] * count,
            "group:region": [one.customer.region for one in drawn],
            "group:gender": [one.customer.gender for one in drawn],
        }
    )


def _said_here(spec: Canaries) -> Canaries:
    """The canaries in this world's sentences, if its language can say them; pieces of its tickets it can."""
    if spec.kind in {"in_distribution", "random_suffix"}:
        return spec
    if spec.kind != "secret" or spec.secret not in {"digits", "card"}:
        asked = f"secret: {spec.secret}" if spec.kind == "secret" else f"kind: {spec.kind}"
        raise DataError(
            f"data.canaries: the embedded world knows no words but its own; got {asked}; plant digits or cards"
        )
    sentences = spec.templates or (CUSTOMER_CARD if spec.template is None else spec.template,)
    for sentence in sentences:
        _refuse_unsaid(sentence, _CARD_LENGTH if spec.secret == "card" else spec.digits)
    return spec if spec.templates else spec.model_copy(update={"template": sentences[0]})


def _refuse_unsaid(template: str, digits: int) -> None:
    unknown = set(template.replace("{secret}", "").lower().split()) - set(vocabulary())
    if unknown:
        raise DataError(
            f"data.canaries: template must be made of the embedded world's words; got {min(unknown)!r};"
            f" {CUSTOMER_CARD!r} will do"
        )
    length = len(template.split()) - 1 + digits + _AROUND
    if length > CONTEXT:
        raise DataError(
            f"data.canaries: the embedded world's model reads {CONTEXT} words and digits at once; got {length} with the"
            " verdict; lower digits or shorten template"
        )
