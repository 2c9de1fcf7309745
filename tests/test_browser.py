"""The report of a very large shop in a real browser: at a desk, on a phone, on paper, and small."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import chromium
import pytest
from large_shop import HOSTILE_EVENT, HOSTILE_ID, HOSTILE_OFFER, large_content

from crm_ml.report import write_report

AUDIT = (Path(__file__).parent / "page_audit.js").read_text(encoding="utf-8")
SIDEWAYS = "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"
DESK, PHONE = 1280, 380
SAYS = "[...document.querySelectorAll('{}')].map(element => element.textContent.trim())"
FLAWED = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">
<title>Flawed</title><body style="margin:0">
<header><h1>One</h1></header><nav><a href="#nowhere">Nowhere</a></nav><main>
<section aria-labelledby="two"><h2 id="two">Two</h2><h4>Skipped</h4>
<p style="color:#777">Pale</p><p style="background:#0b5394; color:#1c2733">Dark</p><p style="opacity:.5">Faded</p>
<p style="color:#767676">Just dark enough</p>
<p style="position:relative; left:900px; width:500px">Beyond</p><p style="font-size:9px">Tiny</p>
<p>Below</p><p style="margin-top:-2.2em">Above</p>
<p style="width:3em; white-space:nowrap; overflow:hidden">Cut off at the end</p>
<div style="width:9em; white-space:nowrap; overflow-x:auto"><span>Scrolled to, but by no key of a keyboard</span></div>
<table><tr><td>Bare</td></tr></table>
<svg viewBox="0 0 10 10" width="100" height="100"><rect width="10" height="10"/>
<text y="5" font-size="2">In it</text></svg>
</section></main><footer>End</footer>Stray</body></html>"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(large_content(), tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[chromium.Browser]:
    if chromium.find_browser() is None:
        pytest.skip(chromium.NO_BROWSER)
    with chromium.browser() as running:
        yield running


@pytest.fixture(scope="module", params=[DESK, PHONE], ids=["desk", "phone"])
def page(request: pytest.FixtureRequest, browser: chromium.Browser, path: Path) -> chromium.Page:
    return browser.open(path, width=request.param)


def audit(page: chromium.Page) -> dict[str, list[str]]:
    """Return what is wrong with the page, laid out as high as it is, so that every point of it can be looked at."""
    width, height = page.evaluate("[innerWidth, document.documentElement.scrollHeight]")
    page.resize(width, height)
    return page.evaluate(AUDIT)


def test_the_content_leaves_nothing_out() -> None:
    content = large_content()
    assert [field.name for field in fields(content) if getattr(content, field.name) is None] == []


def test_the_page_of_a_very_large_shop_is_small(path: Path) -> None:
    assert path.stat().st_size < 3_000_000


def test_the_page_never_scrolls_sideways(page: chromium.Page) -> None:
    assert page.evaluate(SIDEWAYS) == 0


def test_text_is_legible_labelled_and_reachable(page: chromium.Page) -> None:
    assert {kind: found for kind, found in audit(page).items() if found} == {}


def test_the_page_asks_nobody_and_complains_about_nothing(page: chromium.Page, path: Path) -> None:
    assert page.requests() == [path.as_uri()]
    assert page.complaints() == []


def test_a_screen_reader_names_every_picture_table_and_region(page: chromium.Page) -> None:
    met = page.accessible("image", "table", "region", "navigation", "main", "banner", "contentinfo", "RootWebArea")
    roles = [role for role, _ in met]
    assert [roles.count(role) for role in ("RootWebArea", "banner", "navigation", "main", "contentinfo")] == [1] * 5
    assert roles.count("image") == page.evaluate("document.querySelectorAll('svg').length")
    assert roles.count("table") == page.evaluate("document.querySelectorAll('table').length") > 0
    assert [pair for pair in met if pair[0] in ("image", "table", "region") and not pair[1].strip()] == []


def test_hostile_names_are_text_and_nothing_else(page: chromium.Page) -> None:
    assert page.evaluate("document.querySelectorAll('img, script, [onerror], [onload]').length") == 0
    assert page.evaluate("document.querySelectorAll('svg:not(.plot)').length") == 0
    rows, cells = page.evaluate(SAYS.format("tbody th")), page.evaluate(SAYS.format("td"))
    assert {HOSTILE_ID, HOSTILE_EVENT} <= set(rows)
    assert HOSTILE_OFFER in cells


def test_it_prints_on_a_few_sheets(browser: chromium.Browser, path: Path) -> None:
    printed = browser.open(path, width=DESK).pdf()
    assert printed.startswith(b"%PDF-")
    assert 8 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 24


def test_the_audit_sees_every_kind_of_flaw(browser: chromium.Browser, tmp_path: Path) -> None:
    flawed = tmp_path / "flawed.html"
    flawed.write_text(FLAWED, encoding="utf-8")
    page = browser.open(flawed, width=DESK)
    found = audit(page)
    # #777 on white is 4.48, #767676 is 4.54; see the WebAIM contrast checker.
    assert [text[:-6] for text in found["contrast"]] == ["p “Pale”", "p “Dark”", "p “Faded”", "text “In it”"]
    assert found["contrast"][0] == "p “Pale”: 4.48"
    assert found["overlapping"] == ["p “Above” and p “Below”"]
    assert found["outside"] == []
    assert found["clipped"] == ["p “Cut off at the end”"]
    assert found["small"] == ["p “Tiny”: 9.0 px", "a “Nowhere” to touch"]
    assert found["unreachable"] == ["div “Scrolled to, but by no key of a keyboard”", "a “Nowhere” leads nowhere"]
    assert len(found["unlabelled"]) == 5
    assert found["headings"] == ["h4 after h2"]
    page.resize(PHONE, 2000)
    assert page.evaluate(SIDEWAYS) > 0
    assert page.evaluate(AUDIT)["outside"] == ["p “Beyond”"]


def test_the_browser_reports_requests_and_complaints(browser: chromium.Browser, tmp_path: Path) -> None:
    asking = tmp_path / "asking.html"
    asking.write_text("<img src=missing.png><script>console.error('no'); throw 1</script>", encoding="utf-8")
    page = browser.open(asking, width=DESK)
    assert page.requests() == [asking.as_uri(), (tmp_path / "missing.png").as_uri()]
    assert len(page.complaints()) == 3
