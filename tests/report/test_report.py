"""What the report says, and that nothing from outside is ever run as markup or code."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from report import made_up
from trajectories.errors import UserError
from trajectories.report import page

SECTIONS = ["summary", "claims", "figures", "truth", "calibration", "left-out", "provenance", "data", "cite"]
HOSTILE = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">\'"&{{ 7*7 }}'


class Elements(HTMLParser):
    """Collects the elements of a page with their attributes."""

    def __init__(self, html: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def text_of(html: str) -> str:
    """The page without scripts, styles and markup, spaces made single."""
    return re.sub(r"[ \n]+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.S)))


def test_all_sections_stand_in_the_page_and_in_its_contents(html):
    elements = Elements(html).found
    ids = [a["id"] for _, a in elements if "id" in a]
    assert set(SECTIONS) <= set(ids)
    assert len(ids) == len(set(ids))
    targets = {a["href"].removeprefix("#") for tag, a in elements if tag == "a" and (a.get("href") or "").startswith("#")}
    assert targets <= set(ids)
    assert set(SECTIONS) <= targets


def test_the_page_refers_to_nothing_but_its_static_figures(finished, html):
    elements = Elements(html).found
    assert not [a for tag, a in elements if tag in ("link", "img", "iframe", "object", "base") or "src" in a]
    outside = {a["href"] for tag, a in elements if tag == "a" and a.get("href") and not a["href"].startswith("#")}
    assert outside
    assert all((finished.layout.root / href).is_file() for href in outside)


def test_only_the_pages_own_scripts_may_run(html):
    policy = next(a["content"] for tag, a in Elements(html).found if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert len(re.findall(r"'sha256-[^']+'", policy)) == 2
    for script in re.findall(r"<script>(.*?)</script>", html, flags=re.S):
        assert page._hash(script) in policy


def test_the_summary_counts_verdicts_and_names_the_models_of_each(html):
    text = text_of(html)
    assert "Of 5 primary claims (one per prediction and model), 2 are supported, 1 refuted and 2 inconclusive" in text
    assert "3 models of the suite made-up" in text
    assert "32 sound checkpoints" in text


def test_effects_are_told_on_a_scale_that_people_read(html):
    assert "2.46 (2.02 to 3)" in text_of(html)
    assert "Effect: odds ratio (90\u00a0% interval)" in text_of(html)
    assert "No verdict is possible: all ranks are tied." in text_of(html)


def test_primary_rows_stand_open_and_descriptive_ones_are_folded(html):
    article = html[html.index('id="claim-learning-late-rows"') : html.index('id="claim-learning-shared-order"')]
    open_part, folded = article.split("<details>")
    assert open_part.count("<tr data-model") == 3
    assert folded.count("<tr data-model") == 3


def test_what_was_left_out_is_named_with_its_evidence(html):
    text = text_of(html)
    assert "step 8 equals step 2" in text
    assert "bias : The suite has no pronouns." in text
    assert "Serves the weights of step 2." in text


def test_recovery_counts_the_parameters_found(html):
    assert "Of 2 planted parameters whose estimate has an interval, 1 lies in it (50 %)" in text_of(html)


def test_sources_are_credited_once_with_their_licence(html):
    text = text_of(html)
    assert text.count("Somebody else. A data set.") == 1
    assert "CC-BY-4.0" in text
    assert "Somebody. A citation of the suite." in text


def test_the_same_results_give_the_same_bytes(finished, html):
    before = finished.layout.claims_json.read_bytes()
    assert finished.report() == html
    assert finished.layout.claims_json.read_bytes() == before


def test_claims_of_all_experiments_are_written_as_a_list(finished):
    found = json.loads(finished.layout.claims_json.read_text(encoding="utf-8"))
    assert [c["role"] for c in found] == ["primary"] * 5 + ["descriptive"] * 3
    assert {c["verdict"] for c in found} == {"supported", "refuted", "inconclusive"}


def test_hostile_words_stay_words(tmp_path, monkeypatch):
    suite = made_up.suite(title=HOSTILE, description=HOSTILE, citation=[HOSTILE], notes=[HOSTILE], licence=HOSTILE)

    def drawn(context):
        figure = made_up.drawn(context)[0]
        figure.chart = figure.chart.properties(title=HOSTILE)
        figure.title = figure.caption = HOSTILE
        return [figure]

    run = made_up.make(tmp_path / "made-up", monkeypatch, suite, note=HOSTILE, detail=HOSTILE, draw=drawn)
    run.figures()
    html = run.report()
    elements = Elements(html).found
    assert [tag for tag, _ in elements].count("script") == 3
    assert not [a for tag, a in elements if tag == "img" or "onerror" in a]
    assert "7*7" in html
    assert " 49 " not in text_of(html)
    data = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', html, flags=re.S)
    assert json.loads(data[1])["figures"]["learning-groups"]["spec"]["title"] == HOSTILE


def test_a_run_without_claims_or_truth_has_no_empty_sections(tmp_path, monkeypatch):
    run = made_up.make(tmp_path / "made-up", monkeypatch, made_up.suite())
    run.settings.extra["experiments"] = ["recall"]
    made_up.figures.run(run.settings, run.layout, made_up.Machine(), "recall")
    html = run.report()
    assert 'id="truth"' not in html
    assert 'id="calibration"' not in html
    assert "No experiment made a claim." in html
    assert json.loads(run.layout.claims_json.read_text(encoding="utf-8")) == []


def test_a_model_without_a_sound_checkpoint_is_named_as_absent(tmp_path, monkeypatch):
    run = made_up.make(tmp_path / "made-up", monkeypatch, made_up.suite())
    audit = made_up.tables.read_table(run.layout.audit())
    audit.loc[audit["model"] == "small", "status"] = "missing"
    made_up.tables.write_table(audit, run.layout.audit())
    run.figures()
    text = text_of(run.report())
    assert "No results or checkpoints are at hand for small." in text
    assert "absent none of 11 at hand" in text


def test_a_missing_table_is_named_in_one_sentence(tmp_path, monkeypatch):
    run = made_up.make(tmp_path / "made-up", monkeypatch, made_up.suite())
    with pytest.raises(UserError, match=r"figures/learning\.json' does not exist"):
        run.report()
    assert not run.layout.report.exists()


def test_data_are_packed_by_column_without_loss():
    rows = [
        {"model": "a", "step": 1, "value": 0.5, "n": 3},
        {"model": "b", "step": 2, "value": None, "n": 3},
        {"model": "a", "step": 1, "value": 1, "n": 3},
    ]
    table = page.packed(rows)
    assert table["columns"]["n"] == {"constant": 3}
    assert table["columns"]["model"] == {"levels": ["a", "b"], "codes": [0, 1, 0]}
    assert table["columns"]["value"] == {"values": [0.5, None, 1]}
    assert page.packed([]) == {"n": 0, "columns": {}}


def test_figures_that_draw_the_same_rows_share_them(finished):
    specs = json.loads(finished.layout.figures_json("learning").read_text(encoding="utf-8"))["figures"]
    figures = {f"{i}": specs[0] for i in range(3)}
    assert len(page.data(figures, [])["datasets"]) == len(specs[0]["spec"]["datasets"])
