"""The report in a real browser: figures draw themselves offline and answer to the reader."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from report import made_up

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ALL_DRAWN = "main:not(:has([data-figure]:not([data-drawn='{}'])))"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    sync = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    with sync.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(params=[(1300, "light"), (390, "dark")], ids=["wide-light", "phone-dark"])
def size(request):
    return request.param


@pytest.fixture
def opened(browser, finished: made_up.Run, size):
    """The report with all figures drawn, and all that went wrong or was asked for while it was open."""
    width, scheme = size
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    view = context.new_page()
    view.complaints, view.asked = [], []
    view.on("console", lambda message: view.complaints.append(message.text) if message.type in ("error", "warning") else None)
    view.on("pageerror", lambda error: view.complaints.append(str(error)))
    view.on("request", lambda request: view.asked.append(request.url))
    view.goto(finished.layout.report.as_uri())
    view.wait_for_selector(ALL_DRAWN.format(0), state="attached")
    yield view
    assert view.complaints == []
    assert [url for url in view.asked if not url.startswith(("file:", "data:", "blob:"))] == []
    context.close()


def labels(view, figure: str) -> list[str]:
    return view.locator(f"#{figure} .role-axis .role-axis-label text").all_text_contents()


def hover(view, figure: str) -> str:
    """Put the pointer on points of a figure, one after the other, until a tooltip shows, and return what it says."""
    for point in view.locator(f"#{figure} .mark-symbol path[aria-label]").all()[:40]:
        point.scroll_into_view_if_needed()
        point.hover(force=True)
        shown = view.locator("#vg-tooltip-element.visible")
        if shown.count():
            return shown.inner_text()
    return ""


def test_all_figures_are_drawn_and_nothing_is_requested(opened, size):
    assert opened.locator("[data-figure]").count() == 7
    assert opened.locator(".problem").count() == 0
    assert opened.locator("[data-figure] svg.marks").count() == 7
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert len(opened.asked) == 1


@pytest.mark.parametrize("size", [(1300, "light")], ids=["wide-light"], indirect=True)
class TestAnswers:
    """What a reader can do."""

    def test_hovering_over_a_point_tells_its_numbers(self, opened):
        text = hover(opened, "learning-groups")
        assert "model" in text
        assert "tokens seen" in text
        assert "%" in text

    def test_linear_steps_redraw_the_axis(self, opened):
        before = labels(opened, "learning-groups")
        opened.locator("input[name=scale][value=linear]").check(force=True)
        opened.wait_for_selector(ALL_DRAWN.format(1), state="attached")
        after = labels(opened, "learning-groups")
        assert {"1", "10"} <= set(before)
        assert "300" in after
        assert "1" not in after
        opened.locator("input[name=scale][value=log]").check(force=True)
        opened.wait_for_selector(ALL_DRAWN.format(2), state="attached")
        assert labels(opened, "learning-groups") == before

    def test_tokens_take_the_place_of_steps(self, opened):
        opened.locator("input[name=unit][value=tokens]").check(force=True)
        opened.wait_for_selector(ALL_DRAWN.format(1), state="attached")
        assert "100k" in labels(opened, "learning-groups")
        assert "training tokens seen" in opened.locator("#learning-one svg.marks").text_content()

    def test_a_model_that_is_not_chosen_is_not_drawn(self, opened):
        lines = opened.locator("#learning-one .mark-line path")
        assert lines.count() == 3
        opened.locator("details.models summary").click()
        opened.locator("input[name=model][value=small]").uncheck()
        opened.wait_for_selector(ALL_DRAWN.format(1), state="attached")
        assert lines.count() == 2
        assert opened.locator("#learning-one .role-legend-label text").all_text_contents() == ["tiny", "small-seed2"]
        assert "2 of 3" in opened.locator("#chosen").inner_text()
        opened.locator("[data-all='']").click()
        opened.wait_for_selector(ALL_DRAWN.format(2), state="attached")
        assert lines.count() == 0

    def test_a_click_on_the_legend_picks_one_model_out(self, opened):
        lines = opened.locator("#learning-one .mark-line path")
        opened.locator("#learning-one .role-legend-symbol path").first.click(force=True)
        opened.wait_for_timeout(150)
        faint = [line.get_attribute("opacity") for line in lines.all()]
        assert faint.count("0.12") == 2

    def test_the_menu_changes_the_group_and_survives_a_redraw(self, opened):
        before = opened.locator("#learning-one .mark-line path").first.get_attribute("d")
        opened.locator("#learning-one select").select_option("licensing")
        opened.wait_for_timeout(150)
        assert opened.locator("#learning-one .mark-line path").first.get_attribute("d") != before
        opened.locator("input[name=scale][value=linear]").check(force=True)
        opened.wait_for_selector(ALL_DRAWN.format(1), state="attached")
        assert opened.locator("#learning-one select").input_value() == "licensing"

    def test_the_page_turns_dark(self, opened):
        opened.locator("#theme").click()
        opened.wait_for_selector(ALL_DRAWN.format(1), state="attached")
        assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 27)"
