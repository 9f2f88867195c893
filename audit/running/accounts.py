"""What a training leaves for the record: what it keeps private, and what it observed of itself."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from audit.running.privacy_units import unit_count
from audit.settings.sections.training import Privacy
from audit.training.spec import TrainingResult
from probes.protocol import Items
from reports.record import PrivacyRecord


def privacy_record(result: TrainingResult, items: Items) -> PrivacyRecord:
    """What the training of an arm keeps, for the record.

    Args:
        result: What the training did; it was a private one.
        items: What it was trained on.
    """
    kept = result.privacy
    assert kept is not None
    sizes = result.batch_sizes
    return PrivacyRecord(
        epsilon=kept.epsilon,
        delta=kept.delta,
        unit=kept.unit,
        noise_multiplier=kept.noise_multiplier,
        max_grad_norm=kept.max_grad_norm,
        sample_rate=kept.sample_rate,
        steps=kept.steps,
        units=kept.units,
        expected_batch_size=kept.expected_batch_size,
        accountants={name.upper(): value for name, value in (kept.epsilons or {}).items()},
        realised_mean_batch=sum(sizes) / len(sizes) if sizes else None,
        largest_person=max(Counter(items["person"]).values()) if "person" in items else None,
        secret_noise=kept.secret_noise,
        public_n=kept.dataset_size if kept.dataset_size_is_public else None,
        max_examples_per_unit=None if kept.unit == "example" else kept.max_examples_per_unit,
    )


def notes_of(result: TrainingResult, privacy: Privacy | None, items: Items) -> dict[str, Any]:
    """What a training observed of itself, for the lines of its DP claim; nothing of which unit was drawn.

    Args:
        result: What it did.
        privacy: What it was asked to keep.
        items: What it was trained on.
    """
    notes: dict[str, Any] = {"batch_sizes": list(result.batch_sizes), "frozen_untouched": result.frozen_untouched}
    kept = result.privacy
    if kept is None or privacy is None:
        return notes
    return notes | {
        "noised_steps": kept.noised_steps,
        "units_in_data": unit_count(privacy, items),
        "largest_unit": kept.largest_unit,
        "clipping_error": kept.clipping_error,
        "draws": [[stretch.steps, [list(pair) for pair in stretch.counts]] for stretch in kept.drawn],
        "noise": None if kept.noise is None else asdict(kept.noise),
    }
