"""How a verb ends: its exit codes, and the exception that ends it early with one of them."""

from typing import Any

OK, BUG, USAGE, INCOMPLETE = 0, 1, 2, 3
BLOCKED, INCONCLUSIVE, NOT_COMPARABLE, INTEGRITY = 10, 11, 12, 13
INTERRUPTED = 130


class Ended(Exception):  # noqa: N818 - some ends are no errors
    """A verb that ends early, with a sentence and an exit code.

    Args:
        words: The sentence.
        code: The exit code.
        more: What the JSON document says besides.
    """

    def __init__(self, words: str, code: int, **more: Any) -> None:
        super().__init__(words)
        self.code, self.more = code, more
