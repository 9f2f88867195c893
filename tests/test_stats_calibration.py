import json

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from probes.stats.calibration import (
    expected_calibration_error,
    perfectly_calibrated,
    reliability,
    squared_errors,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_error_by_hand():
    confidence = np.array([0.95, 0.95, 0.75, 0.75, 0.75])
    is_right = np.array([True, False, True, True, True])

    assert expected_calibration_error(confidence, is_right) == pytest.approx(0.4 * 0.45 + 0.6 * 0.25)
    assert expected_calibration_error(confidence, is_right, bins=1) == pytest.approx(abs(4 / 5 - 0.83))


def test_a_confidence_on_an_edge_belongs_to_the_bin_below_and_one_to_the_last():
    bins = reliability(np.array([0.0, 0.5, 0.500001, 1.0]), np.array([0, 1, 0, 1]), bins=2)

    assert bins.count.tolist() == [2, 2]
    assert (bins.lower.tolist(), bins.upper.tolist()) == ([0.0, 0.5], [0.5, 1.0])
    assert expected_calibration_error(np.ones(3), np.ones(3)) == 0.0


def test_weights_are_repetitions():
    confidence, is_right, weights = rng().random(50), rng(1).random(50) < 0.5, rng(2).integers(0, 4, 50)

    assert expected_calibration_error(confidence, is_right, weights * 1.0) == pytest.approx(
        expected_calibration_error(np.repeat(confidence, weights), np.repeat(is_right, weights))
    )


@pytest.mark.parametrize("bins", [1, 2, 15, 100])
def test_the_error_is_never_below_the_distance_of_accuracy_from_confidence(bins):
    confidence, is_right = rng().random(200), rng(1).random(200) < 0.8
    distance = abs(is_right.mean() - confidence.mean())

    assert expected_calibration_error(confidence, is_right, bins=bins) >= distance - 1e-12
    assert expected_calibration_error(confidence / 2, confidence > 0, bins=bins) == pytest.approx(
        1 - confidence.mean() / 2
    )  # every bin errs to the same side


def test_nothing_has_no_error():
    assert expected_calibration_error(np.zeros(0), np.zeros(0)) is None
    assert expected_calibration_error(np.ones(2), np.ones(2), np.zeros(2)) is None
    assert squared_errors(np.zeros((0, 2)), np.zeros(0, dtype=int)).shape == (0,)


@pytest.mark.parametrize("confidence", [[-0.1], [1.1], [float("nan")]])
def test_what_is_no_confidence_is_refused(confidence):
    with pytest.raises(ValueError, match="confidence must lie in"):
        expected_calibration_error(np.array(confidence), np.ones(1))


def test_a_calibrated_model_shows_the_error_that_is_expected_of_it():
    confidence = 0.5 + rng().random(300) / 2
    errors = [expected_calibration_error(confidence, rng(s).random(300) < confidence) for s in range(1, 801)]
    null = perfectly_calibrated(confidence, errors[0], rng=rng())

    assert null.value == pytest.approx(np.mean(errors), abs=0.002)
    assert null.p == pytest.approx(np.mean(np.array(errors) >= errors[0]), abs=0.1)
    assert null.value > 0.03


def test_an_overconfident_model_shows_more():
    confidence = np.full(500, 0.9)
    error = expected_calibration_error(confidence, rng().random(500) < 0.7)

    assert perfectly_calibrated(confidence, error, rng=rng(), draws=99).p == 0.01


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_brier_score_is_scikit_learns(classes):
    probabilities, labels = rng().dirichlet(np.ones(classes), 80), np.arange(80) % classes
    weights = rng(1).integers(0, 3, 80).astype(float)
    scores = probabilities[:, 1] if classes == 2 else probabilities

    assert np.average(squared_errors(probabilities, labels), weights=weights) == pytest.approx(
        brier_score_loss(labels, scores, sample_weight=weights)
    )


def test_the_bins_of_a_diagram_add_up_to_the_error():
    confidence, is_right = rng().random(300), rng(1).random(300) < 0.6
    bins = reliability(confidence, is_right)

    error = (bins.count * np.abs(bins.accuracy - bins.confidence)).sum() / 300
    assert error == pytest.approx(expected_calibration_error(confidence, is_right))
    assert ((bins.low <= bins.accuracy) & (bins.accuracy <= bins.high)).all()
    assert ((bins.lower < bins.confidence) & (bins.confidence <= bins.upper)).all()


@pytest.mark.shared
def test_a_bag_of_words_classifier_of_sst2_has_its_known_calibration(shared):
    """Measured with torchmetrics 1.9 and uncertainty-calibration alike."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts, labels = {}, {}
    for split in ("train", "test"):
        lines = (shared / "data" / "shift" / "sst2" / f"{split}.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        texts[split], labels[split] = [r["text"] for r in rows], np.array([r["label"] for r in rows])
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000)
    )
    probabilities = model.fit(texts["train"], labels["train"]).predict_proba(texts["test"])
    confidence, is_right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels["test"]

    assert is_right.mean() == pytest.approx(0.8133, abs=5e-5)
    assert expected_calibration_error(confidence, is_right) == pytest.approx(0.040876, abs=1e-4)
    assert squared_errors(probabilities, labels["test"]).mean() == pytest.approx(0.132986, abs=1e-5)
