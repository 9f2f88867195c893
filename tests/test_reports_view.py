from dataclasses import replace

import pytest

from probes.results import Check, Estimate, NotMeasured
from reports.html import render
from reports.index import Index
from reports.parts.appendix import data_facts
from reports.record import ArmCheck, digest
from reports.view import view
from reports.words.wording import plain
from tests import record_factory as make


def _answers(page):
    return {term: plain(answer) for term, answer in page.front.answers}


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("blocked", "BLOCKED"),
        ("passed", "PASSED"),
        ("no decision", "NO DECISION"),
        ("not judged", "NOT JUDGED"),
        ("incomplete", "NO DECISION"),
        ("empty", "NOT JUDGED"),
    ],
)
def test_the_headline_says_what_was_decided(kind, word):
    page = view(*make.ALL_KINDS[kind]())
    assert page.front.verdict.word == word
    assert page.title.startswith(f"{word}: ")


def test_a_record_that_names_no_arm_to_deploy_is_not_judged():
    record = replace(make.record(), deploy=None)
    page = view(record, make.judgement(record, "passed", *make.gates(record)), make.run())
    assert page.front.verdict.word == "NOT JUDGED"


def test_verdicts_on_another_record_are_set_aside_and_the_page_says_so():
    record, judgement, run = make.passed()
    page = view(replace(record, title="another"), judgement, run)
    assert page.front.verdict.word == "NOT JUDGED"
    assert page.gates == ()
    assert "made on another record" in page.front.verdict.warnings[0]


def test_nothing_passes_on_an_incomplete_run_and_a_failure_stays_one():
    record, judgement, _ = make.passed()
    assert view(record, judgement, make.run("incomplete")).front.verdict.word == "NO DECISION"
    assert view(record, judgement, make.run("running")).front.verdict.word == "NO DECISION"
    record, judgement, _ = make.blocked()
    page = view(record, judgement, make.run("incomplete"))
    assert page.front.verdict.word == "BLOCKED"
    assert page.front.verdict.warnings[0].startswith("INCOMPLETE")


def test_a_policy_that_nobody_answers_for_says_so_wherever_its_owner_would_stand():
    record = make.record()
    gates = tuple(replace(gate, owner="") for gate in make.gates(record))
    page = view(record, make.judgement(record, "blocked", *gates, owner=""), make.run())
    assert page.front.owner == "owner not named"
    assert _answers(page)["Whose limit"].startswith("Nobody is named who answers for the limits.")
    assert {gate.owner for gate in page.gates} == {"(owner not named)"}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("trained", "fine-tuned as ‘standard’"),
        ("given", "trained elsewhere and given as ‘standard’"),
        ("base", "untouched, as ‘standard’"),
    ],
)
def test_the_headline_says_how_the_model_came_about(source, words):
    record = make.record()
    arms = tuple(replace(arm, source=source) if arm.name == "standard" else arm for arm in record.arms)
    assert view(replace(record, arms=arms)).front.origin == words


def test_of_several_training_runs_the_headline_names_one_and_says_so():
    record = make.record()
    arm = record.arms[1]
    several = replace(arm, runs=(arm.runs[0], replace(arm.runs[0], seed=2)))
    page = view(replace(record, arms=tuple(several if a is arm else a for a in record.arms)))
    assert page.front.identity.endswith("…, the first of 2 training runs")


def test_the_weights_that_were_judged_are_named_with_their_arms():
    record = make.record()
    hashes = {arm.name: arm.runs[0].identity.weights[:16] for arm in record.arms}
    sealing = view(*make.blocked()).sealing
    assert f"standard {hashes['standard']}…" in sealing
    assert f"standard-twin {hashes['standard-twin']}…" in sealing


def test_a_record_that_an_older_version_wrote_keeps_its_verdicts():
    record, judgement, run = make.blocked()
    file = "f" * 64  # not what this version would write
    page = view(record, replace(judgement, record=file), run, sha256=file)
    assert page.front.verdict.word == "BLOCKED"
    assert ("Record", f"schema 1, sha256:{file}") in page.identity


def test_what_privacy_costs_is_told_in_accuracy_and_in_time():
    record, judgement, run = make.blocked()
    timed = replace(run, timings={"train:dp@1": {"seconds": 840.0}, "train:standard@1": {"seconds": 42.0}})
    compared = view(record, judgement, timed).comparison
    assert plain(compared.cost) == (
        "What privacy costs: macro-averaged F1, dp minus standard, −4.4 to −1.8\u00a0points (−3.1); training took "
        "14 minutes (660 steps) against 42 seconds (660 steps), on the machine named under Provenance."
    )
    assert ("Training took", "standard 42 seconds; dp 14 minutes") in view(record, judgement, timed).making


def test_a_time_that_is_not_on_file_is_not_made_up():
    record, judgement, run = make.blocked()
    for info in (None, run):
        assert "not on file for dp and standard" in plain(view(record, judgement, info).comparison.cost)


def test_a_measure_without_a_direction_is_neither_better_nor_worse():
    record = make.record()
    names = {"accuracy_gap"}
    metrics = tuple(replace(m, ideal=None) if m.name in names else m for m in record.metrics)
    clear = make.estimate(0.1, 0.08, 0.12)
    contrasts = tuple(
        replace(c, ideal=None, better=0, difference=clear)
        for c in record.contrasts
        if c.metric.endswith("accuracy_gap")
    )
    page = view(replace(record, metrics=metrics, contrasts=contrasts))
    (row,) = page.comparison.rows
    assert (row.words, row.ideal) == ("Different", "neither more nor less is better")
    table = next(block for block in page.chapters[0].blocks if block.name == "group_disparity").tables[0]
    assert "neither more nor less is better" in {row.ideal for row in table.rows}


def test_only_words_that_the_page_uses_are_explained():
    terms = dict(view(*make.blocked()).words)
    assert {"Interval", "Twin", "Canary", "AUC", "Exposure, bits", "Gate, family"} <= set(terms)
    assert "Perplexity" not in terms
    assert view(*make.empty()).words == ()


def test_a_report_that_shows_texts_says_so_first():
    record = replace(make.record(), shows_examples=True)
    assert "texts of the data" in view(record).front.verdict.warnings[0]
    assert view(make.record()).front.verdict.warnings == ()


def _refuted_claim(*outcomes):
    names = ("claimed epsilon", "claimed mechanism")
    found = [
        ArmCheck(arm="dp-twin", probe="canaries", seed=1, check=Check(name=name, outcome=outcome, evidence="e"))
        for name, outcome in zip(names, outcomes, strict=True)
    ]
    record = make.record()
    others = (held for held in record.checks if held.check.outcome != "could not have been refuted")
    return replace(record, checks=(*others, *found))


def test_a_refuted_claim_stands_on_the_first_screen_though_no_gate_judges_it():
    record = _refuted_claim("could not have been refuted", "refuted")
    (said,) = view(record, make.judgement(record, "passed")).front.verdict.warnings
    assert said == (
        "REFUTED: the differential privacy that ‘dp’ claims (ε at most 7.93 at δ = 10⁻⁶) is refuted by the curve of "
        "the claimed mechanism (MMC). No gate judges it."
    )
    assert "No gate judges it." in render(record).partition("</header>")[0]
    (both,) = view(_refuted_claim("refuted", "refuted")).front.verdict.warnings
    assert "by the bound for any mechanism (SNJ) and the curve of the claimed mechanism (MMC)." in both


def test_a_refuted_claim_whose_bound_a_gate_judges_is_still_told():
    record = _refuted_claim("refuted", "refuted")
    bound = next(m for m in record.metrics if (m.arm, m.name) == ("dp-twin", "epsilon_lower_bound"))
    (said,) = view(
        record, make.judgement(record, "passed", make.gate("e", "pass", bound, 9.0, -1))
    ).front.verdict.warnings
    assert said.startswith("REFUTED")
    assert "No gate" not in said


@pytest.mark.parametrize("outcomes", [("not refuted", "not refuted"), ("could not have been refuted", "not refuted")])
def test_a_claim_that_was_not_refuted_is_no_warning(outcomes):
    assert view(_refuted_claim(*outcomes)).front.verdict.warnings == ()


def test_a_claim_that_is_false_on_purpose_is_no_warning():
    record = _refuted_claim("refuted", "refuted")
    arms = tuple(replace(arm, control="no_noise") if arm.name.startswith("dp") else arm for arm in record.arms)
    assert view(replace(record, arms=arms)).front.verdict.warnings == ()


def test_the_first_screen_asks_the_question_and_answers_five_more():
    page = view(*make.blocked())
    weights = make.record().arms[1].runs[0].identity.weights
    assert page.front.title == "ticket-classifier"
    assert page.front.model == "distilbert-base-uncased at 12040acc"
    assert page.front.origin == "fine-tuned as ‘standard’"
    assert page.front.identity == f"sha256\u00a0{weights[:8]}…, 23\u00a0November\u00a02026"
    assert (page.front.policy, page.front.owner) == ("Predeployment v3", "owner: Model Risk")
    assert plain(page.front.score) == (
        "4 of 7 gates passed, 1 failed, 1 inconclusive (needs about 1,400 more clusters), 1 not measured."
    )
    answers = _answers(page)
    assert list(answers) == ["What failed", "How sure", "Undecided", "Not tested", "Whose limit"]
    assert "4.6 to 8.9\u00a0% (6.5); the policy allows at most 3\u00a0%" in answers["What failed"]
    assert "measured on a twin" in answers["How sure"]
    assert "0.2 to 5.6\u00a0% (2.9); the policy allows at most 5\u00a0%" in answers["Undecided"]
    assert "548 non-members" in answers["Not tested"]
    assert "sealed on 23 November 2026, 07:21 UTC, before anything was measured" in answers["Whose limit"]


@pytest.mark.parametrize(
    ("sealed", "words"),
    [(None, "names no policy that stood before"), ("f" * 64, "not those sealed before measuring")],
)
def test_a_policy_that_was_not_sealed_before_measuring_is_called_so(sealed, words):
    record = make.record()
    judgement = make.judgement(record, "blocked", *make.gates(record))
    record = replace(record, provenance=replace(record.provenance, gates=sealed))
    assert words in _answers(view(record, replace(judgement, record=digest(record)), make.run()))["Whose limit"]


def test_a_seal_that_came_after_some_of_the_answers_is_told_beside_the_hashes():
    record = make.record()
    assert "Seal" not in dict(view(record).identity)
    late = replace(record, provenance=replace(record.provenance, measured_before=3))
    assert "after some of the answers were already measured" in dict(view(late).identity)["Seal"]


def test_deviations_from_the_sealed_policy_are_told_where_its_owner_is():
    record = make.record()
    judgement = make.judgement(record, "blocked", *make.gates(record), deviations=("a limit was raised",))
    page = view(record, judgement, make.run())
    assert "A limit was raised." in _answers(page)["Whose limit"]
    assert ("Deviations", "a limit was raised") in page.identity


def test_gates_stand_failed_first_then_undecided_then_not_measured_then_passed():
    words = [gate.word for gate in view(*make.blocked()).gates]
    assert words == ["Fail", "Inconclusive", "Not measured", "Pass", "Pass", "Pass", "Pass"]


def test_no_gate_that_did_not_pass_is_left_out_of_a_long_table():
    page = view(*make.huge())
    assert [gate.word for gate in page.gates[:3]] == ["Fail", "Inconclusive", "Not measured"]
    assert len(page.gates) + page.more_passed == 207


def test_a_pillar_speaks_of_its_worst_gate_with_everything_one_must_know():
    bias, privacy, robustness, utility = view(*make.blocked()).cards
    assert plain(privacy.sentence) == (
        "Members recognised at few false alarms (attack loss, 1\u00a0% false alarms): 4.6 to 8.9\u00a0% (6.5). "
        "With nothing to find it would be 1.0\u00a0% (no effect). The policy allows at most 3\u00a0%."
    )
    assert dict(privacy.circumstances) == {
        "Interval": "97.5\u00a0%, for several gates are judged at once",
        "▴ Could have seen": "an effect of 1.6\u00a0points or more",
        "Attacker had": "scores of the model's answers",
        "Rests on": "552 members",
        "Speaks for": "the twin of standard, one training run, on rows like these",
    }
    assert privacy.verdicts == (("fail", "1 failed"), ("none", "1 not measured"))
    assert "is open" in plain(bias.sentence)
    assert "Attacker had" not in dict(robustness.circumstances)
    assert dict(robustness.circumstances)["Rests on"] == "800 clusters"
    assert "A model without skill would reach" in plain(utility.sentence)
    assert plain(utility.sentence).endswith("The policy asks for at least 80\u00a0%.")


def test_each_pillar_has_a_sentence_on_the_first_screen():
    for kind, audit in make.ALL_KINDS.items():
        tallies = view(*audit()).front.tallies
        assert [row.title for row in tallies] == ["Bias", "Privacy", "Robustness", "Utility"], kind
        assert all(plain(row.finding).endswith(".") for row in tallies), kind


def test_without_gates_a_pillar_speaks_of_its_first_number():
    bias = view(*make.not_judged()).cards[0]
    assert plain(bias.sentence).startswith("Stereotype preferred: 58.4 to 65.7\u00a0% (62.1).")
    assert bias.verdicts == ()


def test_a_pillar_without_numbers_says_why():
    record = make.record()
    broken = replace(record.unmeasured[0], probe="utility", reason="it could not be asked")
    metrics = tuple(m for m in record.metrics if m.pillar != "utility")
    card = view(replace(record, metrics=metrics, unmeasured=(broken,))).cards[3]
    assert plain(card.sentence) == "Nothing was measured: it could not be asked."
    assert card.mark is None


def test_the_comparison_has_at_most_eight_rows_in_the_order_of_the_pillars():
    rows = view(*make.blocked()).comparison.rows
    assert [row.pillar for row in rows] == ["bias"] * 2 + ["privacy"] * 3 + ["robustness"] * 2 + ["utility"]
    assert [row.words for row in rows] == [
        *("No clear difference", "No clear difference", "Better", "Better", "Better"),
        *("No clear difference", "Better", "Worse"),
    ]


def test_what_a_gate_speaks_of_stands_first_and_then_a_fixed_order_of_metrics():
    record = make.record()
    gap = make.judgement(record, "no decision", make.gates(record)[1])
    for judgement, first in ((gap, "accuracy gap between groups"), (None, "stereotype preferred")):
        rows = view(record, judgement).comparison.rows
        assert next(row.label for row in rows if row.pillar == "bias") == first
        assert [row.label for row in rows if row.pillar == "utility"] == ["macro-averaged F1"]


def test_the_difference_is_private_minus_candidate_however_it_was_taken():
    record = make.record()

    def swapped(contrast):
        d = contrast.difference
        turned = replace(d, value=-d.value, low=-d.high, high=-d.low)
        return replace(contrast, arm=contrast.reference, reference=contrast.arm, difference=turned)

    other = replace(record, contrasts=tuple(swapped(c) for c in record.contrasts))
    ours, theirs = view(record).comparison.rows, view(other).comparison.rows
    assert [(r.difference.interval, r.words, r.mark) for r in ours] == [
        (r.difference.interval, r.words, r.mark) for r in theirs
    ]


def test_right_is_better_for_the_private_arm_in_every_mark():
    for row in view(*make.blocked()).comparison.rows:
        right = float(row.mark.low.rstrip("%")) > 50
        left = float(row.mark.high.rstrip("%")) < 50
        assert (right, left) == (row.verdict == "better", row.verdict == "worse")


def test_where_the_private_arm_is_deployed_it_is_still_the_one_that_changed():
    compared = view(*make.passed()).comparison
    assert (compared.subject.name, compared.reference.name) == ("dp", "standard")
    assert compared.title == "What did private training change?"


def test_without_a_private_arm_the_candidate_is_compared_with_the_base():
    record = make.record()
    arms = tuple(arm for arm in record.arms if not arm.name.startswith("dp"))
    contrasts = tuple(replace(c, arm="standard", reference="base") for c in record.contrasts if c.pillar == "bias")
    compared = view(replace(record, arms=arms, contrasts=contrasts)).comparison
    assert compared.title == "What sets standard apart from base?"


def test_a_loss_is_held_against_the_margin_of_a_gate_on_the_same_two_arms():
    record = make.record()
    f1 = next(m for m in record.metrics if m.arm == "dp" and m.name == "macro_f1")
    for margin, words in (
        (0.05, "Worse, within the margin of 5\u00a0points"),
        (0.03, "Worse, and perhaps beyond"),
        (0.01, "Worse, beyond"),
    ):
        gate = make.gate("f1", "pass", f1, -margin, 1, kind="noninferior", reference="standard")
        row = view(record, make.judgement(record, "passed", gate)).comparison.rows[-1]
        assert row.words.startswith(words)
        assert row.mark.limit


def test_the_side_of_the_ideal_decides_where_better_depends_on_it():
    record = make.record()
    metric = next(c for c in record.contrasts if c.label == "stereotype preferred")
    clear = replace(metric, better=0, difference=make.estimate(-0.1, -0.12, -0.08))
    row = view(replace(record, contrasts=(clear,))).comparison.rows[0]
    assert row.words == "Better"


def test_nothing_outside_the_audit_goes_unsaid():
    page = view(*make.blocked())
    reasons = {gap.name: gap.reason for gap in page.scope}
    assert reasons["Harm to a person with many rows"] == "Attacks speak of rows; one person has 214."
    assert reasons["Groups without a column"] == "Only region stood in the data."
    assert "Poisoned training data" in reasons
    assert "Attackers with the weights" in reasons


def test_what_was_not_measured_is_grouped_by_its_reason_and_errors_stand_first():
    page = view(*make.incomplete())
    assert page.gaps[0].is_error
    assert page.gaps[0].name == "perturbation on dp"
    names = [gap.name for gap in page.gaps]
    assert (
        "Members recognised at few false alarms (attack loss, 0.1\u00a0% false alarms) on standard-twin and dp-twin"
        in names
    )


def _privacy(page):
    return next(chapter for chapter in page.chapters if chapter.pillar == "privacy")


def test_a_claim_is_told_with_what_it_does_not_say_of_itself():
    (claim,) = _privacy(view(*make.blocked())).claims
    assert claim.promise == "ε ≤ 7.93 at δ = 10⁻⁶ for one training example, added or removed."
    assert "One person has up to 214 examples: for a person ε is up to 214 times as large" in claim.warnings[0]
    assert "For a secret that stands 4 or 16 times in the data" in claim.warnings[1]
    assert [line.outcome for line in claim.lines[:3]] == ["Fail", "Could not have been refuted", "Not checked"]
    assert dict(claim.figures)["ε by PLD"] == "7.93"
    assert dict(claim.figures)["ε by RDP"] == "8.41"


def test_the_same_line_of_arm_and_twin_is_told_once():
    (claim,) = _privacy(view(*make.blocked())).claims
    names = [line.name for line in claim.lines]
    assert len(names) == len(set(names))


def test_noise_from_a_seed_is_a_failed_point_even_where_no_check_says_so():
    record = make.record()
    record = replace(record, checks=(), provenance=replace(record.provenance, reproducible=True))
    (claim,) = _privacy(view(record)).claims
    assert [(line.name, line.outcome) for line in claim.lines] == [("Noise is secret", "Fail")]
    compared = dict(view(record).front.facts)["Compared with"]
    assert compared.startswith("dp: ε at most 7.93 at δ = 10⁻⁶; its noise is not secret; sha256 ")


def test_an_epsilon_that_was_lost_promises_nothing():
    record = make.record()
    dp = record.arms[2]
    run = replace(dp.runs[0], privacy=replace(dp.runs[0].privacy, epsilon=None))
    arms = tuple(replace(arm, runs=(run,)) if arm is dp else arm for arm in record.arms)
    (claim,) = _privacy(view(replace(record, arms=arms))).claims
    assert claim.promise.startswith("ε is unknown")


def test_a_claim_that_was_not_accounted_here_is_called_so():
    record = make.record()
    leaky = replace(record.arms[0], name="leaky", claims={"epsilon": 1.0, "delta": 1e-5})
    check = ArmCheck(arm="leaky", probe="dp_claim", seed=0, check=Check(name="a", outcome="refuted", evidence="b"))
    page = view(replace(record, arms=(*record.arms, leaky), checks=(*record.checks, check)))
    claim = _privacy(page).claims[1]
    assert claim.promise == "Claimed, not accounted here: ε = 1 at δ = 10⁻⁵."
    assert claim.lines[0].tone == "fail"


def test_several_training_runs_spend_the_budget_each():
    record = make.record()
    dp = record.arms[2]
    arms = tuple(replace(a, runs=(dp.runs[0], replace(dp.runs[0], seed=2))) if a is dp else a for a in record.arms)
    (claim,) = _privacy(view(replace(record, arms=arms))).claims
    assert claim.warnings[-1].startswith("2 training runs each spend this budget")


def test_every_number_of_the_record_stands_in_a_table():
    record = make.record()
    shown = {
        cell.shown.key
        for chapter in view(record).chapters
        for block in chapter.blocks
        for table in block.tables
        for row in table.rows
        for cell in row.cells
        if cell is not None
    }
    assert shown == {metric.metric_id for metric in record.metrics}


def test_an_arm_of_several_seeds_shows_the_number_over_them_and_each_single_one():
    value = make.estimate(0.9, 0.88, 0.92)
    single = [
        make.metric("standard", "utility", "accuracy", replace(value, value=v), seed=s)
        for s, v in ((1, 0.89), (2, 0.91))
    ]
    over = make.metric("standard", "utility", "accuracy", replace(value, varies="items and seeds"), seed=None)
    record = replace(make.record(), metrics=(*single, over))
    (table,) = view(record).chapters[3].blocks[0].tables
    cell = table.rows[0].cells[0]
    assert cell.shown.key == "standard/utility.accuracy"
    assert "single seeds 89.0, 91.0" in cell.details


def test_of_too_many_slices_those_farthest_from_the_ideal_are_shown_and_the_rest_counted():
    page = view(*make.huge())
    table = next(b for b in page.chapters[0].blocks if b.name == "group_disparity").tables[0]
    assert table.hidden == 1461
    parts = [row.part for row in table.rows if row.label == "Accuracy"]
    assert len(parts) == 40
    assert parts[0] == "shop: branch 0"


def test_missing_answers_stand_beside_the_number():
    metric = make.metric("standard", "utility", "accuracy", make.estimate(0.9, 0.8, 0.95))
    short = replace(metric, coverage=replace(metric.coverage, asked=900, answered=800, missing={"too long": 100}))
    page = view(replace(make.record(), metrics=(short,)))
    assert "800 of 900 answered (100 too long)" in page.chapters[3].blocks[0].tables[0].rows[0].cells[0].details


def test_a_probe_s_limits_and_how_it_was_measured_stand_with_it():
    block = view(*make.blocked()).chapters[1].blocks[0]
    assert block.limits == (
        "These figures bound the effect from below, never from above.",
        "One training run of each arm; another run would give other numbers.",
        "Averages hide the few records that are remembered best.",
    )
    how = dict(block.how)
    assert how["Intervals"] == "95\u00a0%; cluster bootstrap, 1,000 draws"
    assert how["Parameters"] == "share 0.2"
    assert "https://arxiv.org/abs/2112.03570" in how["Source"]


def test_figures_are_numbered_through_and_show_both_arms():
    page = view(*make.blocked())
    plates = [plate for chapter in page.chapters for block in chapter.blocks for plate in block.plates]
    assert [plate.number for plate in plates] == list(range(1, len(plates) + 1))
    assert all(plate.columns == ("standard", "dp") for plate in plates)


def test_a_curve_that_only_another_arm_has_is_shown_as_that_arm_s():
    record = make.record()
    curve = replace(record.series[0], arm="base")
    (plate,) = view(replace(record, series=(curve,))).chapters[0].blocks[0].plates
    assert plate.columns == ("base",)


def test_a_twin_s_distance_from_its_arm_is_told_where_it_was_measured():
    record = make.record()
    value = make.estimate(0.88, 0.87, 0.90)
    twin = make.metric("standard-twin", "utility", "macro_f1", value, label="macro-averaged F1", ideal=1.0)
    chapter = _privacy(view(replace(record, metrics=(*record.metrics, twin))))
    assert plain(chapter.paragraph).endswith(
        "Macro-averaged F1 of standard: 87.9 to 90.6\u00a0% (89.3); of its twin: 87.0 to 90.0\u00a0% (88.0)."
    )


def test_a_twin_s_difference_to_its_arm_is_told_where_it_was_taken():
    record = make.record()
    twin = make.metric(
        "standard-twin", "utility", "macro_f1", make.estimate(0.88, 0.87, 0.90), label="macro-averaged F1", ideal=1.0
    )
    apart = replace(
        next(c for c in record.contrasts if c.metric == "utility.macro_f1"),
        arm="standard-twin", reference="standard", difference=make.estimate(-0.013, -0.02, -0.004),
    )  # fmt: skip
    changed = replace(record, metrics=(*record.metrics, twin), contrasts=(*record.contrasts, apart))
    told = plain(_privacy(view(changed)).paragraph)
    assert "; standard-twin minus standard: −2.0 to −0.4" in told


def test_rows_that_were_cut_are_told_by_split_with_what_they_are_part_of():
    data = replace(make.record().data, splits={"train": 100, "test": 40}, cut={"test": 3, "train": 12}, truncated=3)
    facts = dict(data_facts(replace(data, canaries={})))
    assert facts["Rows cut to the model’s length"] == "test 3 of 40, train 12 of 100"
    assert dict(data_facts(replace(data, cut={}, truncated=None)))["Rows cut to the model’s length"] == "not counted"


def test_a_number_that_only_the_twin_has_stands_for_its_arm():
    index = Index(make.record())
    found = index.metric(index.candidate, "membership.auc", "attack=loss")
    assert found.arm == "standard-twin"
    assert index.metric(index.candidate, "membership.nothing") is None


def test_one_absent_difference_is_no_row():
    record = make.record()
    absent = tuple(replace(c, difference=NotMeasured(reason="other rows")) for c in record.contrasts)
    assert view(replace(record, contrasts=absent)).comparison is None


def test_a_mark_keeps_all_it_shows_on_its_line():
    for gate in view(*make.blocked()).gates:
        if gate.mark is not None:
            places = [gate.mark.low, gate.mark.high, gate.mark.point, gate.mark.limit, gate.mark.anchor]
            assert all(0 <= float(place.rstrip("%")) <= 100 for place in places)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 1e9])
def test_a_value_without_width_has_a_mark_too(value):
    from reports.parts.marks import level_mark

    estimate = Estimate(value=value, low=value, high=value, n=1, unit_of_n="run", method="exact")
    for unit in ("rate", "nats"):
        mark = level_mark("x", "none", estimate, unit, anchor=0.0)
        assert 0 <= float(mark.point.rstrip("%")) <= 100
