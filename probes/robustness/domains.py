"""The domains of a run: the one that was trained on, and the others that the model is only tested on."""

from collections.abc import Mapping

import numpy as np

from probes.protocol import Array, Items, Rows
from probes.results import NotApplicable
from probes.stats.codes import codes

IN_DOMAIN = "in-domain"
"""What the training domain is called where the test items name none, or several."""

_PREFIX = "domain:"


def other_domains(data: Mapping[str, Items]) -> dict[str, Items]:
    """The items of each other domain, by its name.

    Raises:
        NotApplicable: There is none, or nothing to compare it with.
    """
    found = {name.removeprefix(_PREFIX): items for name, items in data.items() if name.startswith(_PREFIX) and items.n}
    if not found:
        raise NotApplicable("the data have no other domain")
    if "test" not in data or data["test"].n == 0:
        raise NotApplicable("there are no test items of the training domain to compare with")
    return found


def by_domain(rows: Mapping[str, Rows], test: Rows) -> Rows:
    """Rows of several domains in one, with `domain` and, so that domains are resampled apart, `stratum`.

    Args:
        rows: The rows of each domain, by table: "test" for the training domain, else the domain's name.
        test: The table of the training domain, which may name it.
    """
    names = {table: _training_domain(test) if table == "test" else table for table in rows}
    domain = np.concatenate([np.full(some.n, names[table], dtype=object) for table, some in rows.items()])
    columns = {column: np.concatenate([some[column] for some in rows.values()]) for column in rows["test"]}
    return Rows({**columns, "domain": domain, "stratum": domain, "is_in_domain": domain == names["test"]})


def _training_domain(test: Rows) -> str:
    named = set(test["domain"].tolist()) if "domain" in test else set()
    return str(named.pop()) if len(named) == 1 else IN_DOMAIN


def domains_of(rows: Rows) -> dict[str, Array]:
    """Which of the rows of `by_domain` are of each domain, the training domain first and the others by the alphabet."""
    found = codes(rows["domain"])
    inside = {str(name): found.index == i for i, name in enumerate(found.values)}
    return dict(sorted(inside.items(), key=lambda one: (not rows["is_in_domain"][np.argmax(one[1])], one[0])))


def trained_on(rows: Rows) -> str:
    """The name of the training domain in the rows of `by_domain`; "" where none of them is of it."""
    at = int(np.argmax(rows["is_in_domain"]))
    return str(rows["domain"][at]) if rows["is_in_domain"][at] else ""
