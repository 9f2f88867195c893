"""Names that are shown: of groups, domains and classes, the only values of the data that stand in record and report.

A column of identifiers or of free text in one of these roles would put personal values there. Such a column has many
values, or long ones, so both are capped. What the config itself names is no value that only the data know.
"""

from collections.abc import Iterator, Mapping

from audit.data.files import DataError
from audit.data.rows import UNKNOWN, Reading
from audit.settings.config import AuditConfig
from audit.settings.sections.data import Source

MOST_NAMES = 50
"""Most different values that a column of groups, domains or classes may have, over all sources."""

LONGEST_NAME = 60
"""Most characters of such a value."""


class ShownNames:
    """Gathers the values that would be shown, source by source, and refuses what cannot be meant as a name.

    Args:
        config: The audit; classes that it names itself are not held against the caps.
    """

    def __init__(self, config: AuditConfig) -> None:
        self._names_classes = config.task.classes is not None
        self._found: dict[tuple[str, str], set[str]] = {}

    def take(self, source: Source, reading: Reading) -> None:
        """Add the rows of a source.

        Raises:
            DataError: A column has too many values, or too long ones, to be shown; none of them is in the message.
        """
        for key, values in self._values(source, reading):
            found = self._found.setdefault(key, set())
            found |= values
            _refuse_many(*key, found)
            _refuse_long(*key, values)

    def _values(self, source: Source, reading: Reading) -> Iterator[tuple[tuple[str, str], set[str]]]:
        for place, group in enumerate(source.groups):
            yield ("groups", group), {row.groups[place] for row in reading.rows} - {UNKNOWN}
        if source.domain is not None:
            yield ("domain", source.domain), {row.domain for row in reading.rows if row.domain is not None}
        if source.label is not None and source.label_names is None and not self._names_classes:
            yield ("label", source.label), {row.label for row in reading.rows if row.label is not None}


_SHOWN_AS: Mapping[str, str] = {"groups": "groups", "domain": "domains", "label": "classes"}
_REMEDY = {
    "groups": "name another column, or merge values in the file",
    "domain": "name another column, or merge values in the file",
    "label": "name another column, or write the classes that are meant into task.classes",
}


def _refuse_many(role: str, column: str, values: set[str]) -> None:
    if len(values) > MOST_NAMES:
        raise DataError(
            f"data.{role}: the column {column!r} has {len(values):,} different values, and names of {_SHOWN_AS[role]}"
            f" are shown in record and report, so it may have at most {MOST_NAMES}; {_REMEDY[role]}"
        )


def _refuse_long(role: str, column: str, values: set[str]) -> None:
    longest = max(map(len, values), default=0)
    if longest > LONGEST_NAME:
        raise DataError(
            f"data.{role}: the column {column!r} has a value of {longest:,} characters, and names of {_SHOWN_AS[role]}"
            f" are shown in record and report, so they may have at most {LONGEST_NAME}; {_REMEDY[role]}"
        )
