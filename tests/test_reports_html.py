import base64
import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise, product

import pytest

from probes.catalog import PROBES, describe
from reports.html import render
from reports.index import Index, contrast_id, turned
from reports.junit import junit
from reports.words.format import shown
from reports.words.text import visible
from reports.words.wording import observed
from tests import record_factory as make


@cache
def page(kind):
    return render(*make.ALL_KINDS[kind]())


class Reader(HTMLParser):
    """Collects tags with their attributes, and the text of elements that say where their number stands."""

    def __init__(self):
        super().__init__()
        self.tags = []
        self.numbers = []
        self._open = None
        self._depth = 0

    def handle_starttag(self, tag, attributes):
        held = dict(attributes)
        self.tags.append((tag, held))
        source = next((name for name in held if re.fullmatch(r"data-(metric|contrast|gate)-id", name)), None)
        if source and self._open is None:
            self._open, self._depth = [source.split("-")[1], held[source], ""], 0
        if self._open:
            self._depth += 1

    def handle_endtag(self, tag):
        if self._open:
            self._depth -= 1
            if self._depth == 0:
                self.numbers.append(tuple(self._open))
                self._open = None

    def handle_data(self, data):
        if self._open:
            self._open[2] += data


def read(kind):
    reader = Reader()
    reader.feed(page(kind))
    return reader


@pytest.mark.parametrize("kind", make.ALL_KINDS)
def test_the_page_holds_no_script_no_style_attribute_and_fetches_nothing(kind):
    tags = read(kind).tags
    assert not {tag for tag, _ in tags} & {
        "script",
        "iframe",
        "object",
        "embed",
        "link",
        "img",
        "image",
        "base",
        "form",
    }
    for tag, attributes in tags:
        assert "style" not in attributes, tag
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("href", "src", "xlink:href"):
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)
    sheet = re.search("<style>(.*?)</style>", page(kind), re.DOTALL)[1]
    assert "@import" not in sheet
    assert "url(" not in sheet


@pytest.mark.parametrize("kind", make.ALL_KINDS)
def test_the_sheet_is_allowed_by_its_hash_and_by_nothing_else(kind):
    sheets = re.findall("<style>(.*?)</style>", page(kind), re.DOTALL)
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', page(kind))[1]
    digest = base64.b64encode(hashlib.sha256(sheets[0].encode()).digest()).decode()
    assert len(sheets) == 1
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@pytest.mark.parametrize("kind", make.ALL_KINDS)
def test_every_interval_on_the_page_is_that_of_the_record(kind):
    record, judgement, _ = make.ALL_KINDS[kind]()
    index = Index(record)
    told = {}
    for metric in record.metrics:
        told["metric", visible(metric.metric_id)] = {str(shown(metric.estimate, metric.unit))}
    for contrast, arm in product(record.contrasts, record.arms):
        words = shown(turned(contrast, index, arm), contrast.unit, difference=True)
        told.setdefault(("contrast", visible(contrast_id(contrast))), set()).add(str(words))
    for gate in judgement.gates if judgement is not None else ():
        told["gate", visible(gate.id)] = {str(observed(gate))}
    numbers = read(kind).numbers
    assert bool(numbers) == bool(record.metrics)
    for source, key, words in numbers:
        assert words in {visible(expected) for expected in told[source, key]}


@pytest.mark.parametrize("kind", [kind for kind in make.ALL_KINDS if kind != "huge"])
def test_no_number_of_the_record_is_missing_from_the_page(kind):
    record = make.ALL_KINDS[kind]()[0]
    on_page = {key for source, key, _ in read(kind).numbers if source == "metric"}
    assert on_page == {visible(metric.metric_id) for metric in record.metrics}


_PROMISES = re.compile("unbiased|anonymous|anonymi[sz]ed|compliant", re.IGNORECASE)


@pytest.mark.parametrize("kind", make.ALL_KINDS)
def test_the_page_promises_nothing_that_no_audit_can_show(kind):
    assert _PROMISES.search(page(kind)) is None
    assert _PROMISES.search(junit(*make.ALL_KINDS[kind]()[:2])) is None


@pytest.mark.parametrize("name", PROBES)
def test_no_probe_promises_it_in_what_the_page_prints_of_it(name):
    said = describe(PROBES[name])
    labels = [spec.label for spec in PROBES[name].metrics.values()]
    assert _PROMISES.search(" ".join([said.question, said.limits, said.source, *labels])) is None


@pytest.mark.parametrize("kind", make.ALL_KINDS)
def test_the_same_files_give_the_same_bytes(kind):
    assert render(*make.ALL_KINDS[kind]()) == page(kind)


@pytest.mark.parametrize("kind", make.ALL_KINDS)
def test_ids_are_unique_and_every_reference_finds_its_target(kind):
    tags = read(kind).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in tags:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in ids, (tag, attributes)
        for name in attributes.get("aria-labelledby", "").split():
            assert name in ids
        clip = re.fullmatch(r"url\(#(.*)\)", attributes.get("clip-path", ""))
        assert clip is None or clip[1] in ids


@pytest.mark.parametrize("kind", make.ALL_KINDS)
def test_the_page_has_one_heading_of_the_first_rank_and_skips_none(kind):
    ranks = [int(tag[1]) for tag, _ in read(kind).tags if re.fullmatch("h[1-6]", tag)]
    assert ranks[0] == 1
    assert ranks.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(ranks))


@pytest.mark.parametrize("kind", make.ALL_KINDS)
def test_the_page_has_a_head_a_way_about_a_middle_and_a_foot_and_a_language(kind):
    tags = [tag for tag, _ in read(kind).tags]
    assert [tags.count(name) for name in ("header", "nav", "main", "footer")] == [1, 1, 1, 1]
    assert [name for name in tags if name in {"header", "nav", "main", "footer"}] == ["header", "nav", "main", "footer"]
    assert dict(read(kind).tags)["html"] == {"lang": "en"}
    assert all("aria-label" in attributes for tag, attributes in read(kind).tags if tag in {"nav", "aside"})


@pytest.mark.parametrize("kind", make.ALL_KINDS)
def test_every_table_has_a_caption_and_every_head_says_what_it_is_the_head_of(kind):
    tables = re.findall("<table.*?</table>", page(kind), re.DOTALL)
    assert tables
    assert all(re.match(r"<table[^>]*>\s*<caption[^>]*>[^<]", table) for table in tables)
    scopes = {attributes.get("scope") for tag, attributes in read(kind).tags if tag == "th"}
    assert scopes <= {"col", "row", "rowgroup"}


@pytest.mark.parametrize("kind", make.ALL_KINDS)
def test_every_picture_says_what_it_shows(kind):
    for tag, attributes in read(kind).tags:
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or attributes["role"] == "img"
            assert (
                attributes.get("aria-hidden") == "true" or "aria-label" in attributes or "aria-labelledby" in attributes
            )


def test_hostile_words_are_text_wherever_they_stand():
    text = page("hostile")
    assert "<script" not in text
    assert text.count("</style>") == 1
    assert not [c for c in text if c in "\u202e\u0000\u200b"]
    assert "⟨U+202E⟩gnp.exe⟨U+0000⟩" in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_words_written_from_right_to_left_leave_the_numbers_beside_them_where_they_are():
    text = page("wordy")
    words = "مرحبا بالعالم 12 שלום"
    assert text.count(f"\u2068{words}\u2069") == text.count(words) > 20
    assert "👩🏽‍💻" in text


def test_a_number_at_another_delta_says_so():
    held = make.record()
    series = tuple(
        replace(s, series=replace(s.series, notes={**s.series.notes, "delta": 1e-5 if "standard" in s.arm else 1e-6}))
        if s.series.kind == "epsilon"
        else s
        for s in held.series
    )
    text = render(replace(held, series=series))
    cells = [cell for cell in re.findall("<td.*?</td>", text) if "canaries.epsilon_lower_bound" in cell]
    assert ["at δ = 10⁻⁵" in cell for cell in cells] == [True, False]
    assert ["at δ = 10⁻⁶" in cell for cell in cells] == [False, True]


def test_a_title_cannot_leave_the_foot_of_the_printed_page():
    sheet = re.search("<style>(.*?)</style>", page("hostile"), re.DOTALL)[1]
    foot = sheet[sheet.rindex("@page") :]
    content = re.search(r'@bottom-left \{ content: "([^"]*)"; font', foot)[1]
    assert not set(content) & set("<>{}'$|`")
    assert foot.count("}") == 3


@pytest.mark.parametrize("kind", make.ALL_KINDS)
def test_the_page_stays_small(kind):
    assert len(page(kind).encode()) < 400_000


def test_the_verdict_colours_the_page_by_a_word():
    found = {kind: re.search('<body data-verdict="([^"]*)"', page(kind))[1] for kind in make.ALL_KINDS}
    assert {found[kind] for kind in ("blocked", "passed", "no decision", "not judged")} == {
        "blocked",
        "passed",
        "no-decision",
        "not-judged",
    }


def test_what_must_be_known_first_stands_before_the_headline():
    text = page("incomplete")
    assert text.index("INCOMPLETE: 1 of 120 planned units ended in an error") < text.index('class="headline"')


def test_no_text_of_the_data_is_promised_only_where_it_holds():
    assert "No text of the data appears in this report." in page("blocked")


def test_a_page_is_rendered_without_torch():
    code = (
        "import sys; from tests import record_factory as make; from reports.html import render;"
        "from reports.markdown import summary; from reports.junit import junit;"
        "a = make.blocked(); render(*a); summary(*a); junit(*a[:2]);"
        "print([m for m in ('torch', 'transformers', 'opacus', 'audit') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def _tokens(scheme):
    sheet = re.search("<style>(.*?)</style>", page("empty"), re.DOTALL)[1]
    light, dark = sheet.split("@media screen and (prefers-color-scheme: dark)")[:2]
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light))
    return found if scheme == "light" else found | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", dark.split("/*")[0]))


def _luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    """The contrast of two colours.

    Source: WCAG 2.2, https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio.
    """
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_worked_out_as_the_standard_says():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


_GROUNDS = ("paper", "panel", "fail-tint", "open-tint", "pass-tint")
_WORDS = [
    *product(("ink", "ink-2", "link", "limit", "none"), _GROUNDS),
    *product(("ink-3", "standard", "private", "fail", "pass", "open"), ("paper", "panel")),
    *(("fail", "fail-tint"), ("open", "open-tint"), ("pass", "pass-tint")),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("words", "ground"), _WORDS)
def test_words_stand_out_from_every_ground_they_stand_on(scheme, words, ground):
    tokens = _tokens(scheme)
    assert contrast(tokens[words], tokens[ground]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("line", ["rule-strong", "control", "standard", "private", "limit"])
def test_lines_that_mean_something_stand_out_from_the_paper(scheme, line):
    tokens = _tokens(scheme)
    assert contrast(tokens[line], tokens["paper"]) >= 3
