"""What figures say: headings that state the finding, from templates chosen by the intervals."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from probes.results import Check, Estimate, Metric
from reports.figures import dots
from reports.figures.bounds import Bound, at_delta, bounds, by_night
from reports.figures.looks import Side
from reports.words.format import NO_BREAK, UNITS, Unit, count, counted, number, significant, span, upper
from reports.words.text import attack_words, capitalised, listed
from reports.words.wording import ATTEMPTS, refuter

AXES: Mapping[str, str] = {
    "roc": "Members recognised, by share of others wrongly accused, both on log scales.",
    "reliability": "Share right, by confidence; below, the number of answers. Bars: 95 % intervals.",
    "groups": "By group, with its number of units. Bars: 95 % intervals.",
    "exposure": "Exposure of canaries, by how often they stood in training; bands: canaries left out.",
    "epsilon": "Claim (upper bound), lower bounds and an estimate; a bound's bar ends at the most it could have shown. "
    "Shaded: beyond the bound for any mechanism.",
    "domains": "Accuracy by domain, with its number of units. Bars: 95 % intervals.",
    "perturbations": "By kind of change, with its number of units. Bars: 95 % intervals.",
    "pairs": "Share of pairs in which the stereotype is preferred, by category. Bars: 95 % intervals.",
    "nights": "Evidence against the claim after each night, in nats; points: what that night alone found.",
}


def heading(kind: str, sides: Sequence[Side], metrics: Sequence[Metric | None]) -> str:
    """The finding.

    Args:
        kind: The series' kind.
        sides: The arms' series.
        metrics: For each side the number that the curve belongs to, where there is one.
    """
    if kind == "roc":
        return _stand_out(sides, metrics)
    say: Callable[[Side], str] | None = {
        "reliability": _calibrated,
        "exposure": _exposed,
        "epsilon": _bounded,
        "groups": _apart,
        "domains": _lowest,
        "perturbations": _largest,
        "pairs": _preferred,
        "nights": _over_nights,
    }.get(kind)
    if say is None:
        return capitalised(sides[0].series.name)
    if len(sides) == 1:
        return f"{capitalised(say(sides[0]))}."
    said = [say(side) for side in sides]
    if len(set(said)) == 1:
        return f"{capitalised(said[0])}, for both arms."
    return f"{'; '.join(f'{side.name}: {words}' for side, words in zip(sides, said, strict=True))}."


def _stand_out(sides: Sequence[Side], metrics: Sequence[Metric | None]) -> str:
    attack = attack_words(str(sides[0].series.notes.get("attack") or ""))
    by = f"Attack {attack}: members" if attack else "Members"
    known = [(side.name, m.estimate) for side, m in zip(sides, metrics, strict=True) if m is not None]
    judged = [(name, _is_above(e)) for name, e in known if isinstance(e, Estimate)]
    if not judged:
        return f"Attack {attack}." if attack else AXES["roc"]
    out, level = ([name for name, clear in judged if clear is wanted] for wanted in (True, False))
    if not level:
        return f"{by} of {listed(out)} stand out."
    if not out:
        return f"{by} of {listed(level)} do not clearly stand out."
    return f"{by} of {listed(out)} stand out; those of {listed(level)} do not clearly."


def _is_above(estimate: Estimate) -> bool:
    guessing = 0.5 if estimate.null is None else estimate.null.value
    return estimate.low is not None and estimate.low > guessing


def _calibrated(side: Side) -> str:
    bins = side.complete("confidence", "low", "high")
    over = sum(high < confidence for confidence, _, high in bins)
    under = sum(low > confidence for confidence, low, _ in bins)
    if over:
        return f"surer than it is right in {over} of {counted(len(bins), 'bin')}"
    if under:
        return f"less sure than it is right in {under} of {counted(len(bins), 'bin')}"
    return "as sure as it is right, as far as these intervals tell"


def _exposed(side: Side) -> str:
    rows = sorted(side.complete("repetitions", "planted_low", "unplanted_high"))
    clear = [copies for copies, planted, left_out in rows if planted > left_out]
    if not clear:
        return "planted canaries overlap with those left out"
    return f"planted canaries lie clear of those left out from {counted(int(clear[0]), 'copy')} on"


def _bounded(side: Side) -> str:
    """What the verdicts say of the claim; where there are none, what the bounds do."""
    held = bounds(side)
    claim = next((bound.value for bound in held if bound.kind == "claim"), None)
    if claim is None:
        most = max((bound.value for bound in held if bound.kind == "bound"), default=0.0)
        return f"no claim; ε is at least {number(most, 'epsilon')}{at_delta(side)}"
    promised = f"the claim of {upper(claim)}{at_delta(side)}"
    attempt = "the evidence of these nights" if by_night(side) else "this audit"
    return _judged(side.verdicts, promised, attempt) if side.verdicts else _compared(held, claim, promised)


_VERBS = {"refuted": "is refuted", "not refuted": "is not refuted"}


def _judged(verdicts: Sequence[Check], promised: str, attempt: str) -> str:
    """The verdicts in one clause, those that refute first, each with the test that it is by."""
    tests = {outcome: [refuter(check) for check in verdicts if check.outcome == outcome] for outcome in ATTEMPTS}
    found = [outcome for outcome in ATTEMPTS if tests[outcome]]
    if found == ["not refuted"]:
        return f"{promised} is not refuted, though {attempt} could have refuted it"
    if found == ["could not have been refuted"]:
        return f"{promised} reaches beyond what {attempt} could have refuted"
    said = [f"{_VERBS.get(outcome, outcome)} by {listed(tests[outcome])}" for outcome in found]
    return f"{promised} {', and '.join(said)}"


def _compared(held: Sequence[Bound], claim: float, promised: str) -> str:
    low = [bound for bound in held if bound.kind in ("bound", "assuming")]
    beyond = next((bound for bound in low if bound.value > claim), None)  # what assumes nothing stands first
    if beyond is not None:
        value = number(beyond.value, "epsilon")
        which = f"a lower bound of {value}" if beyond.kind == "bound" else f"{value} ({beyond.label})"
        return f"{which} contradicts {promised}"
    reach = [bound.reach for bound in low if bound.reach is not None]
    if reach and max(reach) < claim:
        return f"{promised} reaches beyond what this audit could have refuted"
    return f"no lower bound contradicts {promised}"


def _extreme(side: Side, largest: bool) -> str:
    kind = side.series.kind
    known = [(cell.value, row, cell) for row, cell in dots.cells(kind, side).items() if cell.value is not None]
    if not known:
        return "nothing was scored"
    _, (_, label), cell = (max if largest else min)(known, key=lambda item: item[0])
    return f"{label}, {span((cell.low, cell.value, cell.high), dots.unit(side))}"


def _apart(side: Side) -> str:
    """The metric in which the groups lie widest apart, with its lowest and its highest group."""
    by_metric: dict[str, list[tuple[float, str, dots.Cell]]] = {}
    for (metric, label), cell in dots.cells("groups", side).items():
        if cell.value is not None:
            by_metric.setdefault(metric, []).append((cell.value, label, cell))
    if not by_metric:
        return "no group was scored"
    metric, held = max(by_metric.items(), key=lambda item: max(item[1])[0] - min(item[1])[0])
    low, high = min(held, key=lambda item: item[0]), max(held, key=lambda item: item[0])
    told = [f"{label} {span((cell.low, cell.value, cell.high), dots.unit(side))}" for _, label, cell in (low, high)]
    return f"widest apart{f' in {metric}' if metric else ''}: {' and '.join(told)}" if low != high else told[0]


def _lowest(side: Side) -> str:
    return f"lowest for {_extreme(side, largest=False)}"


def _largest(side: Side) -> str:
    return f"largest for {_extreme(side, largest=True)}"


def _preferred(side: Side) -> str:
    held = [cell for cell in dots.cells("pairs", side).values() if cell.low is not None and cell.high is not None]
    more = sum(cell.low > 0.5 for cell in held if cell.low is not None)
    less = sum(cell.high < 0.5 for cell in held if cell.high is not None)
    if len(held) == 1:
        none = "no clear preference for stereotypes"
        return "the stereotype is clearly preferred" if more else "the opposite is clearly preferred" if less else none
    of = f"of {counted(len(held), 'category')}"
    against = f", the opposite in {less}" if less else ""
    return f"the stereotype is clearly preferred in {more or 'none'} {of}{against}"


def _over_nights(side: Side) -> str:
    """Whether the evidence ever reached what refutes: a claim once refuted stays refuted."""
    course = [value for value in side.numbers("log_evidence") if value is not None]
    limit = side.note("refutes_at")
    nights = counted(len(course), "night")
    if limit is not None and course and max(course) >= limit:
        first = next(night for night, value in enumerate(course, start=1) if value >= limit)
        return f"the claim is refuted from night {first} of {len(course)} on"
    return f"{nights} did not refute the claim"


def note(sides: Sequence[Side]) -> str:
    """What the series say besides their columns, as sentences; where the arms differ, each says its own."""
    words = [" ".join(_notes(side)) for side in sides]
    if len(set(words)) <= 1:
        return words[0]
    return " ".join(f"{side.name}: {said}" for side, said in zip(sides, words, strict=True) if said)


_DRAWN = frozenset(
    {
        "attack",
        "epsilon",
        "delta",
        "ceiling",
        "claim",
        "unit",
        "axis",
        "n_members",
        "n_nonmembers",
        "noise_floor",
        "ece",
    }
    | {"planted", "accused_planted", "accused_left_out", "log_e_value", "largest_log_e_value"}  # for series of audits
)


def _notes(side: Side) -> Iterator[str]:
    members, others = side.note("n_members"), side.note("n_nonmembers")
    if members is not None and others is not None:
        yield f"{count(int(members))} members, {count(int(others))} others."
    floor, error = side.note("noise_floor"), side.note("ece")
    if floor is not None:
        unit = UNITS.get(dots.unit(side), Unit())
        yield f"Equal groups of these sizes would differ by up to {number(floor, dots.unit(side))}{unit.difference}."
    if error is not None:
        yield f"Expected calibration error {number(error, 'score')}."
    for name, value in side.series.notes.items():
        if name not in _DRAWN and value is not None:
            plain = significant(value) if isinstance(value, int | float) else value
            yield f"{capitalised(name.replace('_', ' '))}: {plain}.".replace(" %", f"{NO_BREAK}%")


def belonging(side: Side, probe: str, metrics: Sequence[Metric]) -> Metric | None:
    """The attacker's AUC that a curve belongs to: the one of its attack, or the only one."""
    found = [m for m in metrics if m.probe == probe and m.unit == "auc"]
    attack = str(side.series.notes.get("attack") or side.series.name.partition(":")[2])
    named = [m for m in found if attack and (attack in m.name or attack == m.slice.rpartition("=")[2])]
    return next(iter(named), found[0] if len(found) == 1 else None)
