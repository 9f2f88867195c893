"""Pages in a real browser: nothing runs off their edge, and their policy lets their own sheet through."""

import html
import json
import re
import shutil
import subprocess

import pytest

from reports.html import render
from tests import record_factory as make

pytestmark = pytest.mark.browser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (380, 820, 1200)
_MEASURE = """
addEventListener("load", () => {
  const found = {};
  for (const frame of document.querySelectorAll("iframe")) {
    frame.contentDocument.querySelectorAll("details").forEach(e => { e.open = true; });
    const page = frame.contentDocument, root = page.documentElement, edge = root.clientWidth;
    const beyond = [...page.body.querySelectorAll("*")].filter(e => {
      const box = e.getBoundingClientRect();
      return box.width > 1 && box.right > edge + 1 && !e.closest("nav ul, .skip, .unseen");
    });
    const spilled = [...page.querySelectorAll("td .value, td .mark")].filter(e => {
      const cell = e.closest("td").getBoundingClientRect();
      return cell.width > 1 && e.getBoundingClientRect().right > cell.right + 1;
    });
    const bottom = name => Math.max(...[...page.querySelectorAll(name)].map(e => e.getBoundingClientRect().bottom));
    found[frame.name] = {
      overflow: root.scrollWidth - edge,
      spilled: spilled.slice(0, 3).map(e => e.outerHTML.slice(0, 160)),
      answered: bottom(".headline, .score, .tally"),
      ground: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
      title: page.title,
      scripts: page.scripts.length,
      beyond: beyond.slice(0, 3).map(e => e.outerHTML.slice(0, 160)),
    };
  }
  document.body.textContent = "FOUND" + JSON.stringify(found) + "END";
});
"""


def _opened(tmp_path, pages, *flags):
    """What the browser says of each page at each width, each in a frame of its own."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    frames = "".join(
        f'<iframe name="{name}@{width}" width="{width}" height="900" srcdoc="{html.escape(page)}"></iframe>'
        for name, page in pages.items()
        for width in WIDTHS
    )
    harness = tmp_path / "harness.html"
    harness.write_text(f"<!doctype html><meta charset=utf-8><body>{frames}<script>{_MEASURE}</script>", "utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    ran = subprocess.run(
        [*command, profile, *flags, "--virtual-time-budget=20000", "--dump-dom", harness.as_uri()],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    found = re.search("FOUND(.*)END", ran.stdout)
    assert found, ran.stderr[-500:]
    return json.loads(html.unescape(found[1]))


def _pages():
    return {kind.replace(" ", "-"): render(*audit()) for kind, audit in make.ALL_KINDS.items()}


@pytest.mark.parametrize(
    ("flags", "ground"),
    [((), "rgb(253, 252, 249)"), (("--blink-settings=preferredColorScheme=0",), "rgb(22, 24, 27)")],
    ids=["light", "dark"],
)
def test_on_a_screen_nothing_runs_off_the_edge_and_the_sheet_is_applied(tmp_path, flags, ground):
    found = _opened(tmp_path, _pages(), *flags)
    assert len(found) == len(make.ALL_KINDS) * len(WIDTHS)
    for name, page in found.items():
        assert page["overflow"] <= 0, (name, page["beyond"])
        assert page["beyond"] == [], name
        assert page["spilled"] == [], name
        assert page["ground"] == ground, name
        assert page["scripts"] == 0, name


def test_the_question_the_verdict_and_a_sentence_per_pillar_need_no_scrolling(tmp_path):
    kinds = {kind: page for kind, page in _pages().items() if kind not in {"hostile", "wordy"}}
    found = _opened(tmp_path, kinds)
    assert {kind: page["answered"] for kind in kinds if (page := found[f"{kind}@1200"])["answered"] > 900} == {}


def test_on_paper_nothing_runs_off_the_edge(tmp_path):
    printed = {}
    for kind in ("blocked", "not judged", "huge"):
        page = (
            render(*make.ALL_KINDS[kind]())
            .replace("@media print", "@media all")
            .replace("@media screen", "@media not all")
        )
        printed[kind] = re.sub(
            r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page
        )  # the sheet is another now
    found = _opened(tmp_path, printed)
    for kind in printed:
        page = found[f"{kind}@820"]  # A4 less its margins is 688 px wide
        assert page["overflow"] <= 0, (kind, page["beyond"])
        assert page["spilled"] == [], kind
        assert page["ground"] == "rgb(255, 255, 255)"


def test_the_first_printed_page_holds_the_whole_first_screen(tmp_path):
    if CHROMIUM is None or shutil.which("pdftotext") is None:
        pytest.skip("no Chromium or no pdftotext on this machine")
    page, pdf = tmp_path / "page.html", tmp_path / "page.pdf"
    page.write_text(render(*make.blocked()), "utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    subprocess.run(
        [*command, profile, "--no-pdf-header-footer", f"--print-to-pdf={pdf}", page.as_uri()],
        capture_output=True,
        timeout=120,
        check=True,
    )
    first = subprocess.run(["pdftotext", "-l", "1", pdf, "-"], capture_output=True, text=True, check=True).stdout
    for words in ("BLOCKED", "Whose limit", "Utility", "limit of the policy", "Predeployment v3"):
        assert words in first
    assert "Would private training" not in first
