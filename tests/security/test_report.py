"""A report whose every word comes from a stranger: it holds no element, attribute or script that its page has not put there."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pyarrow.parquet as pq
import pytest
from report import made_up
from trajectories import tables

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MARK = "window.hacked=1"
HOSTILE = [
    f"</script><script>{MARK}</script>",
    f'<img src=x onerror="{MARK}">',
    f'" onmouseover="{MARK}" x="',
    f"' autofocus onfocus='{MARK}",
    f"</title></style></textarea></svg><svg onload={MARK}>",
    "]]><!--<script>--><![CDATA[",
    f"javascript:{MARK}",
    "{{ 7*7 }}{% include 'report.js' %}${7*7}",
    f"'+constructor.constructor('{MARK}')()+'",
    "\u2028\u2029\u202e\x00\x01\x1b[2J\x7f\ufffe",
    "datum['__proto__']",
    "$(touch hacked); `touch hacked` && touch hacked\n-rf",
]
KEPT = {"model", "experiment", "verdict", "role", "metric", "level", "scale", "order", "id", "family", "status", "suite"}
"""Columns whose words the page or the charts look up; their values are names that patterns restrict, or the experiment's own."""
OF_METADATA = {"licence", "citation", "sha256"}


class Page(HTMLParser):
    """The elements of a page, each with the names of its attributes, and all values of attributes."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.addresses: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src", "action", "srcdoc", "style")]


def words() -> Iterator[str]:
    """Hostile strings, each one different from all others."""
    number = 0
    while True:
        for text in HOSTILE:
            number += 1
            yield f"{text} {number}"


def hostile(value: Any, supply: Iterator[str]) -> Any:
    """The same value with every string replaced; keys, too."""
    if isinstance(value, str):
        return next(supply)
    if isinstance(value, dict):
        return {k if k in OF_METADATA else next(supply): hostile(v, supply) for k, v in value.items()}
    return [hostile(part, supply) for part in value] if isinstance(value, list) else value


def spoil(path: Path, supply: Iterator[str]) -> None:
    """Replace the words of a table: the same word by the same one, so that groups stay groups; and those of its metadata."""
    table, metadata = tables.read_table(path), tables.metadata(path)
    for column in [c for c in table.columns if pd.api.types.is_string_dtype(table[c]) and c not in KEPT]:
        found = {word: next(supply) for word in table[column].dropna().unique() if isinstance(word, str) and word}
        table[column] = [found.get(word, word) if isinstance(word, str) else word for word in table[column]]
    record, rest = metadata.pop("provenance"), {k: hostile(v, supply) for k, v in metadata.items()}
    record = {k: hostile(v, supply) if k != "seed" else v for k, v in record.items()}
    tables.write_table(table, path, record, pq.read_schema(path).remove_metadata(), **rest)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> made_up.Run:
    """A finished run of which all free text is hostile, its figures drawn and its report written."""
    supply = words()
    free = {"title", "description", "licence", "detail", "source", "branch"}

    def text(model: Any) -> Any:
        if isinstance(model, dict):
            spoilt = {k: next(supply) if k in free and isinstance(v, str) else text(v) for k, v in model.items()}
            return spoilt | {k: [next(supply)] for k in ("notes", "citation") if k in spoilt}
        return [text(part) for part in model] if isinstance(model, list) else model

    with pytest.MonkeyPatch.context() as patch:
        content = text(made_up.suite().model_dump(mode="json")) | {"source": "trained"}
        content["models"][1] |= {"branch": next(supply), "parent": "tiny", "branch_step": 8, "revision": next(supply) + "{step}"}

        def drawn(context: Any) -> list[Any]:
            figures = made_up.drawn(context)
            for figure in figures:
                figure.title, figure.caption = next(supply), next(supply)
                figure.chart = figure.chart.properties(title=next(supply))
            return figures

        found = made_up.make(tmp_path_factory.mktemp("hostile") / "made-up", patch, made_up.Suite.model_validate(content), draw=drawn)
        for path in sorted(found.layout.root.rglob("*.parquet")):
            spoil(path, supply)
        audit = tables.read_table(found.layout.audit())
        audit["revision"], audit["commit"], audit["sha256"] = (audit["step"].map(lambda s: f"{HOSTILE[0]}{s}") for _ in range(3))
        tables.write_table(audit, found.layout.audit())
        found.settings.extra["left_out"] = {next(supply): next(supply)}
        found.settings.extra["sections"] = hostile(found.settings.extra["sections"], supply)
        found.figures()
        found.report()
    return found


@pytest.fixture(scope="module")
def html(run: made_up.Run) -> str:
    return run.layout.report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of the same run with its own words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made_up.figures, "svg", lambda *_: "")
        found = made_up.make(tmp_path_factory.mktemp("honest") / "made-up", patch, made_up.suite())
        found.figures()
        return found.report()


def test_the_words_are_in_the_page(html: str):
    """Or the tests below would see nothing."""
    shown = re.sub(r"<script.*?</script>", "", html, flags=re.S)
    assert shown.count("hacked") > 100
    assert "touch hacked" in shown


def test_no_element_or_attribute_comes_from_outside(html: str, honest: str):
    found, expected = Page(html), Page(honest)
    assert found.elements["script"] == expected.elements["script"] == 3
    assert set(found.elements) == set(expected.elements)
    assert found.attributes == expected.attributes
    assert not [address for address in found.addresses if not re.match(r"#|figures/", address)]
    assert "{{ 7*7 }}" in html


def test_the_data_in_the_page_end_where_they_should(html: str):
    [data] = re.findall(r'<script type="application/json" id="report-data">(.*?)</script>', html, flags=re.S)
    assert not re.search(r"[<>&\u2028\u2029]", data)
    assert "hacked" in json.dumps(json.loads(data))


def test_every_figure_is_well_formed_and_holds_nothing_that_runs(run: made_up.Run):
    files = sorted((run.layout.root / "figures").rglob("*.svg"))
    assert len(files) == 7
    for path in files:
        for element in ElementTree.fromstring(path.read_text(encoding="utf-8")).iter():
            assert element.tag.rpartition("}")[2] not in ("script", "foreignObject", "image", "iframe", "a", "use", "set", "animate")
            for name, value in element.attrib.items():
                assert not name.startswith("on")
                assert "href" not in name
                assert "javascript:" not in value or name == "aria-label"


def test_the_claims_are_valid_json(run: made_up.Run):
    assert "hacked" in json.dumps(json.loads(run.layout.claims_json.read_text(encoding="utf-8")))


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_in_a_browser_nothing_of_it_runs(run: made_up.Run):
    sync = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    from report.test_in_a_browser import ALL_DRAWN, QUIET

    with sync.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = browser.new_page()
        seen: list[str] = []
        page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("request", lambda request: seen.append(request.url) if not request.url.startswith(("file:", "data:", "blob:")) else None)
        page.goto(run.layout.report.as_uri())
        page.wait_for_selector(ALL_DRAWN.format(0), state="attached")
        for point in page.locator("[data-figure] .mark-symbol path[aria-label]").all()[:3]:
            point.scroll_into_view_if_needed()
            point.hover(force=True)
        assert page.locator(".problem").count() == 0
        assert page.evaluate("window.hacked") is None
        assert page.locator("img, iframe, [onload], [onerror], [onmouseover], [onfocus]").count() == 0
        assert seen == []
        browser.close()
