"""Are pictures well-formed, whatever the words in them are?"""

import xml.etree.ElementTree as ET

import pytest

from operations.cli import svg

pytestmark = pytest.mark.unit


def test_words_stay_words():
    picture = svg.document(
        10, 10, [svg.text(1, 2, 'a<b & "c"'), svg.line(0, 0, 1, 1, "#000", "1,2")]
    )
    words, line = list(ET.fromstring(picture))[1:]
    assert words.text == 'a<b & "c"'
    assert line.attrib["stroke-dasharray"] == "1,2"


def test_a_bar_is_seen_however_short_it_is():
    assert 'width="2.0"' in svg.bar(0, 0, 0.001, 5, "#000")
