"""The one canvas of every figure, and what turns matplotlib's SVG into a part of the page.

Figures are drawn in the page's light colours; each is then replaced by its CSS variable, so that dark mode and print
follow the sheet. Style attributes become presentation attributes, since the page's policy forbids them; ids carry the
figure's prefix, since a page holds several; and the same drawing gives the same bytes.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.words.text import visible

WIDTH, HEIGHT = 340, 330
TOKENS = {
    "ink": "#1c1b19",
    "ink-2": "#4f4b45",
    "ink-3": "#686359",
    "rule": "#dcd8cf",
    "rule-strong": "#87827a",
    "standard": "#38342f",
    "private": "#0070b0",
    "control": "#8f897f",
    "limit": "#b54500",
    "paper": "#fdfcf9",
    "panel": "#f4f1ea",
}
"""The light colours that figures are drawn in, by CSS variable; those of `templates/style.css`."""

FONT_SIZE = 11.5
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: searchable, readable aloud, in the reader's font
    "svg.hashsalt": "audit",
    "text.parse_math": False,  # a name with dollar signs is a name
    "font.family": "DejaVu Sans",
    "font.size": FONT_SIZE,
    "axes.labelsize": FONT_SIZE,
    "xtick.labelsize": FONT_SIZE,
    "ytick.labelsize": FONT_SIZE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.edgecolor": TOKENS["rule-strong"],
    "xtick.color": TOKENS["rule-strong"],
    "ytick.color": TOKENS["rule-strong"],
    "xtick.labelcolor": TOKENS["ink-2"],
    "ytick.labelcolor": TOKENS["ink-2"],
    "axes.labelcolor": TOKENS["ink-2"],
    "text.color": TOKENS["ink"],
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": TOKENS["rule"],
    "grid.linewidth": 0.7,
    "xtick.major.size": 4,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "patch.linewidth": 0,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "butt",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "path.simplify": False,  # what is drawn is what the series holds
}
_DROPPED = {"font-family", "font-style", "font-variant", "font-stretch"}
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}"


@contextmanager
def canvas() -> Iterator[Figure]:
    """An empty figure of the one size, in the one style; draw on it within the block."""
    with warnings.catch_warnings(), mpl.rc_context(_STYLE):
        # The reader's font draws the text; that ours cannot measure a character of it does no harm.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield Figure(figsize=(WIDTH / 72, HEIGHT / 72), dpi=72)


def panel(figure: Figure, *, left: float, top: float = 14, right: float = 20, bottom: float = 46) -> Axes:
    """Axes inside fixed margins, in pixels, so that all figures of the page line up."""
    width, height = WIDTH - left - right, HEIGHT - top - bottom
    return figure.add_axes((left / WIDTH, bottom / HEIGHT, width / WIDTH, height / HEIGHT))


def finish(figure: Figure, *, prefix: str, title: str, description: str) -> str:
    """The figure as an `svg` element for the page.

    Args:
        figure: The drawing, made on `canvas`.
        prefix: What its ids begin with, unique on the page.
        title: What it shows, for those who cannot see it.
        description: What can be seen in it, likewise.

    Raises:
        ValueError: A colour was used that has no token.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for child in [c for c in root if c.tag == f"{_SVG}metadata"]:
        root.remove(child)
    _drop_styles(root)
    _rewrite(root, prefix)
    _prune(root)
    root.attrib = {
        "class": "fig",
        "viewBox": f"0 0 {WIDTH} {HEIGHT}",
        "width": str(WIDTH),
        "height": str(HEIGHT),
        "role": "img",
        "aria-labelledby": f"{prefix}-t {prefix}-d",
        "stroke-linejoin": "round",
        "font-size": f"{FONT_SIZE}",
    }
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(tag, {"id": f"{prefix}-{tag[0]}"})
        element.text = visible(text)
        root.insert(place, element)
    text = ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)
    left_over = re.search(r'"#[0-9a-f]{3,8}"', text)
    if left_over:
        raise ValueError(f"figure {prefix}: the colour {left_over.group()} has no token; add it to TOKENS")
    return text


def _drop_styles(root: ElementTree.Element) -> None:
    for parent in list(root.iter()):
        for child in [c for c in parent if c.tag == f"{_SVG}style"]:
            parent.remove(child)


def _rewrite(root: ElementTree.Element, prefix: str) -> None:
    used = set(re.findall(r"#([\w.-]+)", " ".join(v for e in root.iter() for k, v in e.attrib.items() if k != "style")))
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.text = element.text if element.tag == "text" else None
        element.tail = None
        attributes = {name.removeprefix(_XLINK): value for name, value in element.attrib.items()}
        if attributes.get("id") not in used:
            attributes.pop("id", None)
        declared = attributes.pop("style", "")
        plain = {name: _tidy(name, value, prefix) for name, value in attributes.items()}
        if plain.get("transform", "").startswith("rotate(-0 "):
            del plain["transform"]
        element.attrib = plain | dict(_declarations(declared))
        if element.get("stroke") == "var(--rule)":
            element.attrib.pop("clip-path", None)  # the grid ends where the axes do


def _tidy(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href":
        return f"#{prefix}-{value.removeprefix('#')}"
    if name == "clip-path":
        return value.replace("url(#", f"url(#{prefix}-")
    if name in {"d", "points", "transform"}:
        tidy = " ".join(_NUMBER.sub(lambda found: _rounded(found.group(), 1), value).split())
        only_lines = name == "d" and not set(tidy) & set("CQ") and "z L" not in tidy
        return tidy.replace(" L ", " ") if only_lines else tidy  # after a move, pairs of numbers are lines
    return _rounded(value) if _NUMBER.fullmatch(value) else value


def _declarations(style: str) -> Iterator[tuple[str, str]]:
    """A style attribute's declarations as presentation attributes, colours as variables."""
    for declaration in filter(None, (part.strip() for part in style.split(";"))):
        name, value = (half.strip() for half in declaration.split(":", 1))
        if name == "font-size":
            size = _rounded(value.removesuffix("px"))
            if float(size) != FONT_SIZE:
                yield name, size
        elif name == "font-weight":
            yield name, "600"
            yield from _HALO
        elif name not in _DROPPED:
            yield name, _COLOURS.get(value.lower(), value)


_HALO = (("paint-order", "stroke"), ("stroke", "var(--paper)"), ("stroke-width", "3"))
"""Names of sides stay legible where a curve runs behind them."""

_COLOURS = {colour: f"var(--{token})" for token, colour in TOKENS.items()}


def _rounded(number: str, decimals: int = 2) -> str:
    text = f"{float(number):.{decimals}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _prune(element: ElementTree.Element) -> None:
    """Take out groups that group nothing, without children or attributes of their own, and grounds without colour."""
    kept: list[ElementTree.Element] = []
    for child in element:
        _prune(child)
        is_ground = child.tag == "path" and child.get("fill") == "none" and child.get("stroke") is None
        if is_ground or (child.tag in {"g", "defs"} and len(child) == 0):
            continue
        kept += list(child) if child.tag == "g" and not child.attrib else [child]
    element[:] = kept
