"""The words of a report that are not everyday, each in a sentence or two; only those that its page uses."""

from collections.abc import Iterator

from probes.results import ALL, Estimate
from reports.index import Index, is_private
from reports.record import Judgement
from reports.words.format import level

Words = tuple[tuple[str, str], ...]
"""Terms and what they mean."""

_BY_UNIT = {
    "auc": (
        "AUC",
        "How often an attacker who is shown a training record and another one says rightly which is which: 0.5 is "
        "guessing, 1 is never wrong.",
    ),
    "nats": (
        "Nats",
        "Units of a natural logarithm. By 0.7 nats one sentence is twice as likely as another, by 2.3 nats ten times.",
    ),
    "bits": (
        "Exposure, bits",
        "How high a planted secret stands in a ranking among secrets that were never planted. Each bit halves the "
        "guesses that it takes to find it; chance gives 1.4 bits on average.",
    ),
    "perplexity": (
        "Perplexity",
        "Among how many words the model is as good as undecided at each place of a text; lower is better.",
    ),
}
_BY_METRIC = {
    "macro_f1": (
        "Macro-averaged F1",
        "A score between 0 and 100 % of finding each class and of being right when it is named; rare classes count as "
        "much as frequent ones.",
    ),
    "equalized_odds_difference": (
        "Difference in error rates",
        "The larger of two gaps between groups: in how often those who should be selected are, and in how often those "
        "who should not be are selected all the same.",
    ),
    "demographic_parity_difference": (
        "Difference in selection rates",
        "The gap between the group that is selected most often and the one that is selected least often.",
    ),
    "expected_calibration_error": (
        "Calibration error",
        "By how much the model’s confidence differs from how often it is right.",
    ),
    "tpr_at_fpr": (
        "Members recognised at few false alarms",
        "The share of training records that an attacker recognises while accusing wrongly no more of the others than "
        "stated. It shows the few records that are remembered best, which averages hide.",
    ),
    "recognition_difference": (
        "Members recognised beyond false alarms",
        "How many members of a group the attacker recognises, less how many of the group's others are accused wrongly. "
        "A group whose texts any model finds easy has more of both, and is not the more remembered for it.",
    ),
    "exposure_difference": (
        "Exposure added by planting",
        "How much higher canaries that begin as texts of a group's people stand in the ranking where they were planted "
        "than where they were left out. A group whose texts any model finds easy stands higher in both.",
    ),
}


def words(index: Index, judgement: Judgement | None) -> Words:
    """The terms that a page of this record uses.

    Args:
        index: The record.
        judgement: The verdicts that are shown; None where there are none.
    """
    return tuple(_words(index, judgement))


def _words(index: Index, judgement: Judgement | None) -> Iterator[tuple[str, str]]:
    estimates = [m.estimate for m in index.record.metrics if isinstance(m.estimate, Estimate)]
    if estimates:
        yield from _of_uncertainty(
            estimates[0].level, any(e.null is not None and e.null.p is not None for e in estimates)
        )
    if index.record.contrasts:
        yield (
            "Paired difference",
            "Both models answer the same rows, and what is compared is row by row: more certain than comparing the "
            "intervals of each. “Clear” means that the interval leaves out zero; each row is judged by itself.",
        )
    if judgement is not None and judgement.gates:
        yield (
            "Gate, family",
            "A limit that was set before measuring. Gates of one chapter are judged together, with wider intervals, "
            "so that bad luck alone seldom fails any of them; an interval may therefore differ from the chapter’s.",
        )
    yield from _of_privacy(index)
    names = {metric.name for metric in index.record.metrics}
    units = {metric.unit for metric in index.record.metrics}
    yield from (word for unit, word in _BY_UNIT.items() if unit in units)
    yield from (word for name, word in _BY_METRIC.items() if name in names)


def _of_uncertainty(confidence: float, has_p: bool) -> Iterator[tuple[str, str]]:
    yield (
        "Interval",
        f"Where the true value lies, as far as chance goes: of many audits made like this one, {level(confidence)} "
        "would have it inside. It knows of chance alone, not of rows that are unlike those of use.",
    )
    yield (
        "Could have seen",
        "The smallest effect that an audit of this size finds four times in five. A smaller one may be there unseen.",
    )
    yield (
        "Cluster",
        "Rows that are no evidence of their own count as one: near-duplicates, or sentences made from one template.",
    )
    if has_p:
        yield "p", "How often chance alone would show at least as much where there is nothing to find."


def _of_privacy(index: Index) -> Iterator[tuple[str, str]]:
    if any(arm.role == "twin" for arm in index.record.arms):
        yield (
            "Twin",
            "A model trained like its arm, for attacks on it: fair coins decided which records of the audit pool it "
            "saw, so that it is known who was in and who was not. It is never deployed.",
        )
    if index.record.data.canaries:
        yield "Canary", "A text made for the audit that is put into a twin’s training to see how much of it comes out."
    if any(is_private(arm) for arm in index.record.arms) or any(m.unit == "epsilon" for m in index.record.metrics):
        yield (
            "Differential privacy, ε, δ",
            "A promise about one training example: whether it was there or not changes the odds of whatever anyone may "
            "learn by at most a factor of e to the ε (2.7 for ε = 1, 20 for 3, about 3,000 for 8), but for a "
            "probability of δ. Numbers at different δ do not compare.",
        )
    if any(m.slice != ALL and "attack=" in m.slice for m in index.record.metrics):
        yield (
            "Attack",
            "A rule by which an attacker sorts records into seen and not seen; each is reported, none picked.",
        )
