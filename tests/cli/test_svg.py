"""Are pictures well-formed, whatever the words in them are, and are those of the documents ours?"""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from operations.cli import svg

pytestmark = pytest.mark.unit
DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_words_stay_words():
    picture = svg.document(
        10, 10, [svg.text(1, 2, 'a<b & "c"'), svg.line(0, 0, 1, 1, "#000", "1,2")]
    )
    words, line = list(ET.fromstring(picture))[1:]
    assert words.text == 'a<b & "c"'
    assert line.attrib["stroke-dasharray"] == "1,2"


def test_a_bar_is_seen_however_short_it_is():
    assert 'width="2.0"' in svg.bar(0, 0, 0.001, 5, "#000")


def test_the_pictures_of_the_calibration_are_small_shown_and_well_formed():
    shown = re.findall(r"\(calibration/(.+?\.svg)\)", (DOCS / "calibration.md").read_text())
    assert sorted(shown) == sorted(each.name for each in (DOCS / "calibration").glob("*.svg"))
    assert {"drift.svg", "strategy.svg", "news.svg"} <= set(shown)
    for name in shown:
        text = (DOCS / "calibration" / name).read_text()
        assert ET.fromstring(text).tag.endswith("svg")
        assert len(text) < 60_000
