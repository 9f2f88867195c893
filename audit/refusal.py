"""What the audit refuses, in a sentence that says what to do: no traceback is shown for it."""


class Refused(ValueError):  # noqa: N818 - it is what was done with the user's wish, in the user's words
    """A user's mistake outside the config file: a model, a folder, a training that cannot be private."""


class Incomparable(Refused):
    """Runs that must not be read as one series."""


class Damaged(Refused):
    """A file of a run that is not what a run writes: cut short, missing, or changed by hand."""
