from importlib.metadata import EntryPoint

import pytest

from probes import catalog
from probes.bias.minimal_pairs import MinimalPairs
from probes.catalog import PROBES, defaults, describe, find, instantiate
from probes.robustness.perturbation import Perturbation


def test_a_probe_is_found_by_its_name():
    assert find("minimal_pairs") is MinimalPairs


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(ValueError, match="no probe called 'minimal_pair'; did you mean 'minimal_pairs'"):
        find("minimal_pair")
    with pytest.raises(ValueError, match="no probe called 'xyz'; there are utility, "):
        find("xyz")


def test_a_third_partys_probe_comes_through_its_entry_point(monkeypatch):
    point = EntryPoint("theirs", "probes.bias.name_swap:NameSwap", catalog.ENTRY_POINTS)
    monkeypatch.setattr(catalog, "entry_points", lambda group: (point,) if group == catalog.ENTRY_POINTS else ())
    assert find("theirs").name == "name_swap"


def test_ours_goes_before_a_third_partys_of_the_same_name(monkeypatch):
    point = EntryPoint("minimal_pairs", "probes.bias.name_swap:NameSwap", catalog.ENTRY_POINTS)
    monkeypatch.setattr(catalog, "entry_points", lambda group: (point,))
    assert find("minimal_pairs") is MinimalPairs


@pytest.mark.parametrize("name", PROBES)
def test_every_probe_can_be_made_without_parameters(name):
    assert instantiate(name, {}).name == name


def test_parameters_are_taken_as_a_file_gives_them():
    assert instantiate("perturbation", {"kinds": ["typos", "swap"], "limit": 10}) == Perturbation(
        kinds=("typos", "swap"), limit=10
    )


def test_an_unknown_parameter_gets_a_suggestion():
    with pytest.raises(ValueError, match="perturbation: no parameter called 'limits'; did you mean 'limit'"):
        instantiate("perturbation", {"limits": 10})
    with pytest.raises(ValueError, match="utility: no parameter called 'draws'; it has none"):
        instantiate("utility", {"draws": 10})


@pytest.mark.parametrize("value", ["10", 10.5, None, [10], True])
def test_a_value_of_another_kind_is_refused(value):
    with pytest.raises(ValueError, match=r"perturbation: limit: .*; got "):
        instantiate("perturbation", {"limit": value})


def test_a_value_that_the_probe_refuses_is_refused_in_the_probes_words():
    with pytest.raises(ValueError, match="perturbation: limit must be at least 1; got 0"):
        instantiate("perturbation", {"limit": 0})


def test_a_value_that_no_file_format_of_ours_has_is_refused():
    with pytest.raises(ValueError, match="limit: "):
        instantiate("perturbation", {"limit": object()})


def test_defaults_are_the_probes_that_are_for_the_task():
    assert {"utility", "group_disparity", "name_swap", "domain_shift"} <= set(defaults("text-classification"))
    assert {"language_quality", "language_shift", "minimal_pairs"} <= set(defaults("causal-lm"))
    assert not {"utility", "perturbation"} & set(defaults("masked-lm"))


def test_a_docstring_is_taken_apart():
    class Documented:
        """Is it
        raining?

        Details.

        Limits: it says nothing
        of snow.

        Source: the window.
        """

    said = describe(Documented)
    assert (said.question, said.limits, said.source) == ("Is it raining?", "it says nothing of snow.", "the window.")


def test_a_docstring_without_them_says_nothing():
    class Bare:
        pass

    assert describe(Bare).limits == ""
