"""What one arm costs against another: accuracy, and the time that its training took."""

from probes.results import Estimate
from reports.index import Index, contrast_id, is_private, turned
from reports.record import ArmRecord, Contrast, RunInfo
from reports.words.format import count, counted, shown
from reports.words.text import duration, listed
from reports.words.wording import Sentence


def cost(index: Index, subject: ArmRecord, reference: ArmRecord, run: RunInfo | None) -> Sentence:
    """Accuracy and training time of one arm against another; what is not on file says so.

    Args:
        index: The record.
        subject: The arm that costs.
        reference: What it is held against.
        run: Where times are; they cannot change a number and stand in no record.
    """
    lead = "What privacy costs: " if is_private(subject) and not is_private(reference) else "What it costs: "
    return (lead, *_accuracy(index, subject, reference), _times(subject, reference, run))


def _accuracy(index: Index, subject: ArmRecord, reference: ArmRecord) -> Sentence:
    found = _quality(index, subject, reference)
    if found is None:
        return ("accuracy was not compared; ",)
    value = turned(found, index, subject)
    difference = shown(value, found.unit, difference=True, kind="contrast", key=contrast_id(found))
    return (f"{found.label}, {subject.name} minus {reference.name}, ", difference, "; ")


def _quality(index: Index, subject: ArmRecord, reference: ArmRecord) -> Contrast | None:
    """The difference in accuracy; where there is none, the first one in utility."""
    metrics = sorted(index.headlines("utility", subject), key=lambda metric: metric.name != "accuracy")
    contrasts = (index.contrast(metric, subject, reference) for metric in metrics)
    return next((c for c in contrasts if c is not None and isinstance(c.difference, Estimate)), None)


def _times(subject: ArmRecord, reference: ArmRecord, run: RunInfo | None) -> str:
    times = [training_time(arm, run) for arm in (subject, reference)]
    if all(times):
        ours, theirs = (_with_steps(arm, time) for arm, time in zip((subject, reference), times, strict=True))
        return f"training took {ours} against {theirs}, on the machine named under Provenance."
    missing = [arm.name for arm, time in zip((subject, reference), times, strict=True) if not time]
    return f"how long training took is not on file for {listed(missing)}."


def training_time(arm: ArmRecord, run: RunInfo | None) -> str:
    """How long an arm's training took, the mean where it was trained several times; "" where that is not on file."""
    timings = {} if run is None else run.timings
    known = [timings.get(f"train:{arm.name}@{held.seed}", {}).get("seconds") for held in arm.runs]
    seconds = [found for found in known if found is not None]
    if not seconds or len(seconds) < len(known):
        return ""
    mean = duration(sum(seconds) / len(seconds))
    return mean if len(seconds) == 1 else f"{mean} on average of {count(len(seconds))} runs"


def _with_steps(arm: ArmRecord, time: str) -> str:
    training = arm.runs[0].training
    return time if training is None else f"{time} ({counted(training.steps, 'step')})"
