import dataclasses
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import pytest
from scipy.stats import binomtest

from probes.protocol import Facts, Rows
from probes.results import ALL, Coverage, Estimate, Finding, MetricSpec, NotApplicable, NotMeasured, Null, Series
from probes.stats.bootstrap import bootstrap
from probes.stats.intervals import wilson
from probes.summary import findings, interval_columns

FACTS = Facts(arm="a", role="candidate", seed=0, head="classifier", task="text-classification")


def spec(ideal: float, unit: str = "rate", signed: bool = False) -> MetricSpec:
    return MetricSpec(ideal=ideal, unit=unit, definition="share:x", label="x", signed=signed)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """The share of rows that are true."""

    name: ClassVar[str] = "share"
    version: ClassVar[int] = 1
    pillar: ClassVar[str] = "utility"
    roles: ClassVar[frozenset[str]] = frozenset({"candidate"})
    metrics: ClassVar[Mapping[str, MetricSpec]] = {
        "share": spec(0.5),
        "loss": spec(0.0, "nats"),
        "gap": spec(0.0, signed=True),
    }

    def needs(self, facts, data):
        return {}

    def answers(self, tables, facts):
        return tables["rows"]

    def statistics(self, rows, weights):
        return {("share", ALL): np.average(rows["hit"], weights=weights)}


class WithProportions(Share):
    def proportions(self, rows):
        return {("share", ALL): rows["hit"].astype(float)}


def rows(hits, cluster=None) -> Rows:
    ids = [f"i{i:03d}" for i in range(len(hits))]
    return Rows({"item_id": ids, "cluster": cluster or ids, "hit": np.asarray(hits)})


def only(probe, some: Rows, **more) -> Finding:
    (finding,) = findings(probe, some, FACTS, np.random.default_rng(0), draws=200, **more)
    return finding


HITS = [True] * 14 + [False] * 6


def test_a_statistic_gets_the_cluster_bootstraps_interval():
    estimate = only(Share(), rows(HITS)).estimate
    bootstrapped = bootstrap(Share().statistics, rows(HITS), rng=np.random.default_rng(0).spawn(3)[2], draws=200)
    assert (estimate.low, estimate.high) == (bootstrapped["share", ALL].low, bootstrapped["share", ALL].high)
    assert estimate.value == 0.7
    assert estimate.n == 20


def test_a_proportion_of_rows_in_clusters_of_their_own_gets_wilsons_interval():
    estimate = only(WithProportions(), rows(HITS)).estimate
    exact = wilson(14, 20, unit_of_n="item")
    assert (estimate.low, estimate.high, estimate.method) == (exact.low, exact.high, "Wilson")


def test_a_proportion_of_rows_that_share_clusters_does_not():
    estimate = only(WithProportions(), rows(HITS, cluster=[f"c{i // 2}" for i in range(20)])).estimate
    assert estimate.method.startswith("cluster bootstrap")
    assert estimate.n == 10


def test_an_ideal_of_one_half_is_what_chance_shows_and_is_tested():
    null = only(WithProportions(), rows(HITS)).estimate.null
    assert null == Null(value=0.5, p=binomtest(14, 20, 0.5).pvalue, meaning="chance")


def test_the_level_is_that_of_the_interval():
    wide = only(Share(), rows(HITS), level=0.99).estimate
    narrow = only(Share(), rows(HITS), level=0.8).estimate
    assert wide.high - wide.low > narrow.high - narrow.low
    assert only(WithProportions(), rows(HITS), level=0.99).estimate.level == 0.99


def test_fewer_than_ten_clusters_are_not_measured():
    assert isinstance(only(Share(), rows(HITS, cluster=["c"] * 20)).estimate, NotMeasured)


def test_no_rows_are_not_applicable():
    with pytest.raises(NotApplicable, match="share got no answer that could be summarized"):
        only(Share(), rows([]))


def test_a_summary_goes_before_the_bootstrap():
    class Summarized(Share):
        def summarize(self, rows, facts, rng, level=0.95) -> Iterator[Finding]:
            yield Finding(metric="share", estimate=NotMeasured(reason="today is Sunday"))

    assert only(Summarized(), rows(HITS)).estimate == NotMeasured(reason="today is Sunday")


def test_a_summary_is_given_the_level():
    class Levelled(Share):
        def summarize(self, rows, facts, rng, level=0.95) -> Iterator[Finding]:
            yield Finding(metric="share", estimate=NotMeasured(reason=f"level {level}"))

    assert only(Levelled(), rows(HITS), level=0.9).estimate == NotMeasured(reason="level 0.9")


def test_a_metric_that_is_not_declared_is_refused():
    class Undeclared(Share):
        def statistics(self, rows, weights):
            return {("shore", ALL): 1.0}

    with pytest.raises(ValueError, match="share: a metric must be declared in `metrics`; got 'shore'"):
        only(Undeclared(), rows(HITS))


def test_coverage_is_all_rows_unless_the_probe_says_otherwise():
    class Missing(Share):
        def coverage(self, rows, facts):
            return {ALL: Coverage(asked=25, answered=20, missing={"asleep": 5})}

    assert only(Share(), rows(HITS)).coverage == Coverage(asked=20, answered=20)
    assert only(Missing(), rows(HITS)).coverage == Coverage(asked=25, answered=20, missing={"asleep": 5})


def test_a_null_that_is_the_ideal_is_tested_and_another_is_shown():
    class Loss(Share):
        def statistics(self, rows, weights):
            hits = np.average(rows["hit"], weights=weights)
            return {("loss", ALL): hits, ("loss", "half"): hits / 2}

        def nulls(self, rows, facts, rng):
            return {("loss", ALL): Null(value=0.0), ("loss", "half"): Null(value=0.3)}

    whole, half = findings(Loss(), rows(HITS), FACTS, np.random.default_rng(0), draws=200)
    assert whole.estimate.null.p < 0.05
    assert half.estimate.null == Null(value=0.3)


def test_a_difference_that_no_resample_changes_may_lie_on_either_side_of_zero():
    class Gap(Share):
        def statistics(self, rows, weights):
            return {("gap", ALL): 0.0 * weights.sum()}

        def nulls(self, rows, facts, rng):
            return {("gap", ALL): Null(value=0.0)}

    estimate = only(Gap(), rows(HITS)).estimate
    assert estimate.low < 0 < estimate.high
    assert estimate.detectable is None


def test_a_chart_is_drawn_from_the_finished_estimates():
    class Charted(Share):
        def series(self, values, rows, facts) -> Iterator[Series]:
            yield Series(name="shares", kind="pairs", columns=interval_columns(values.values()))

    finding, series = findings(Charted(), rows(HITS), FACTS, np.random.default_rng(0), draws=200)
    assert series.columns["low"] == (finding.estimate.low,)


def test_columns_have_gaps_where_nothing_was_measured():
    estimate = Estimate(value=0.5, low=None, high=0.7, n=3, unit_of_n="item", method="none")
    columns = interval_columns([estimate, NotMeasured(reason="asleep"), None])
    assert columns == {"value": (0.5, None, None), "low": (None, None, None), "high": (0.7, None, None)}
