"""What a plan says of the audit pool: at which rates members can be told from others, and what others would need."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_audit
from scipy.stats import binom

from audit.data.division import audit_pool, largest_pool
from audit.opening import opened, ordered
from audit.planning.forecast import forecast
from audit.planning.pool import Allowed, Rate, _allowed, sufficient_pool
from audit.progress import Lines
from audit.settings.sections.data import Data, World
from probes.privacy.membership import are_enough, fewest_nonmembers
from probes.protocol import Items


@pytest.mark.parametrize(
    ("nonmembers", "share", "units"),
    [
        (1, 0.5, 5),
        (3, 0.5, 11),
        (300, 0.5, 641),
        (3000, 0.5, 6128),
        (1, 0.25, 11),
        (300, 0.25, 1301),
        (3000, 0.25, 12314),
    ],
)
def test_the_smallest_pool_leaves_enough_out_19_times_in_20_and_one_unit_less_does_not(nonmembers, share, units):
    """By hand: of 5 coins 1 - 1/32 = 0.969 and of 4 1 - 1/16 = 0.9375; 1 - 0.75^11 = 0.958 and 1 - 0.75^10 = 0.944."""
    assert sufficient_pool(nonmembers, share) == units
    enough, too_few = (1 - binom.pmf(np.arange(nonmembers), n, share).sum() for n in (units, units - 1))
    assert too_few < 0.95 <= enough


@pytest.mark.parametrize(("fpr", "nonmembers"), [(0.1, 30), (0.01, 300), (0.001, 3000), (0.007, 429)])
def test_a_rate_needs_as_many_non_members_as_the_probe_asks_for(fpr, nonmembers):
    assert fewest_nonmembers(fpr) == nonmembers
    assert are_enough(nonmembers, fpr)
    assert not are_enough(nonmembers - 1, fpr)


def test_the_largest_pool_leaves_one_unit_and_the_heavy_ones_outside():
    assert largest_pool(np.ones(7, dtype=int)) == 6
    sizes = np.array([1, 1, 1, 40])  # the last has over a tenth of the rows
    assert largest_pool(sizes) == 3
    in_pool, _ = audit_pool(sizes, 3, seed=0)
    assert in_pool.tolist() == [True, True, True, False]


RATE = Rate(
    fpr=0.001, nonmembers=3000, is_allowed=False, is_allowed_chosen=False, pool=6128, pool_chosen=12314, records=None
)
MEASURED = replace(RATE, fpr=0.01, nonmembers=300, is_allowed=True, is_allowed_chosen=True, pool=641, pool_chosen=1301)
FOUND = Allowed(
    arms=("dp-twin",), probe="membership", setting="data.pool", units=2200, members=1090, nonmembers=1110,
    rates=(MEASURED, RATE),
)  # fmt: skip


def test_one_line_tells_which_rates_are_measured_and_what_the_others_need():
    assert FOUND.words == (
        "1,090 members and 1,110 non-members; members recognised can be measured at 1 % false alarms; not measured at "
        "0.1 %, which needs 3,000 non-members: data.pool: 6128 has them 19 times in 20, 12314 also in the half on "
        "which the chosen attack is reported"
    )
    short = replace(FOUND, rates=(replace(RATE, records=8756),))
    assert short.words.endswith("is reported; the former needs data of about 8,756 records")
    assert "can be measured" not in short.words


def test_a_pool_that_has_too_few_for_the_chosen_attack_alone_says_so():
    found = replace(FOUND, rates=(replace(MEASURED, is_allowed_chosen=False),))
    assert found.words.endswith(
        "; at 1 % each attack is measured, but not the one that is chosen, which is reported on half of the pool: "
        "data.pool: 1301 is enough for it 19 times in 20"
    )


def planned(tmp_path, *changes: str):
    config = tiny_audit.files(tmp_path)
    return forecast(ordered(opened(config, changes), tmp_path / "runs"), Lines(quiet=True))


def test_the_plan_tells_it_once_for_all_twins_and_in_its_document(tmp_path):
    plan = planned(tmp_path, "probes.membership={fprs: [0.2, 0.05, 0.001]}", "controls={leaky: {}}")
    (found,) = plan.memberships
    assert found.arms == ("standard-twin", "dp-twin", "leaky")
    assert (found.units, found.members + found.nonmembers) == (120, 120)
    assert [(rate.is_allowed, rate.pool, rate.records) for rate in found.rates] == [
        (True, sufficient_pool(15), None),
        (False, sufficient_pool(60), None),  # at most 293 of the 294 training units could be in the pool
        (False, 6128, math.ceil(6129 / 294 * 420)),
    ]
    assert "membership, by the audit pool\n  standard-twin, dp-twin, leaky: " in plan.words()
    assert json.loads(json.dumps(plan.plain()))["memberships"][0]["rates"][2]["pool"] == 6128


def test_of_units_with_two_records_half_as_many_are_needed(tmp_path):
    config = tiny_audit.files(tmp_path)
    header, *rows = (tmp_path / "tickets.csv").read_text().splitlines()
    named = [f"{header},who", *(f"{row},p{number // 2}" for number, row in enumerate(rows))]
    (tmp_path / "tickets.csv").write_text("\n".join(named) + "\n")
    changes = ("data.person=who", "data.pool=60", "probes.membership={fprs: [0.01]}")
    (found,) = forecast(ordered(opened(config, changes), tmp_path / "runs"), Lines(quiet=True)).memberships
    assert (found.units, found.members + found.nonmembers) == (60, 120)
    assert found.rates[0].pool == sufficient_pool(150)


def test_the_embedded_world_makes_as_many_tickets_as_are_asked_for():
    pool = Items({"item_id": ["a", "b"], "cluster": ["u1", "u2"], "is_member": [True, False]})
    found = _allowed(Data(world=World()), SimpleNamespace(pool=pool), ("dp-twin",), "membership", (0.001,))
    assert found.setting == "data.world.pool"
    assert found.rates == (RATE,)  # one of two records left out is enough for none


def test_without_the_probe_nothing_is_said(tmp_path):
    changes = ("probes={utility: {}}", "gates=null")
    config = tiny_audit.files(tmp_path)
    plan = forecast(ordered(opened(config, changes), tmp_path / "runs"), Lines(quiet=True))
    assert plan.memberships == ()
    assert "by the audit pool" not in plan.words()
