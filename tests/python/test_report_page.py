"""The report's page in a real browser: it loads clean and alone, its images render, its switches and tables work, it fits a phone."""

import pytest

from chromium import Chromium

PHONE = {"width": 390, "height": 844, "is_phone": True}


@pytest.fixture(scope="module")
def address(run):
    page = run / "report" / "index.html"
    assert page.stat().st_size < 15e6, "the page is too large to be sent around"
    return page.as_uri()


@pytest.fixture(scope="module")
def browser():
    browser = Chromium()
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def page(browser, address):
    """The page in a wide window, loaded once, with all that it asks for on record."""
    browser.call("Network.enable")
    browser.open(address)
    # Every image inside the page is a request with all its bytes: once is enough.
    browser.call("Network.disable")
    return browser


def test_nothing_is_complained_of_and_nothing_asked_for(page, address):
    complaints = page.seen("Runtime.exceptionThrown") + page.seen("Log.entryAdded") + page.seen("Runtime.consoleAPICalled")
    assert complaints == []
    asked = {r["request"]["url"] for r in page.seen("Network.requestWillBeSent")}
    assert address in asked, "the browser reports no requests at all"
    assert {url for url in asked if url != address and not url.startswith("data:")} == set()
    without_images = "document.documentElement.outerHTML.replace(/data:image[^\"]*/g, '')"
    assert page.value(f"{without_images}.match(/.{{0,40}}:\\/\\/.{{0,40}}/)") is None, "an address of the network on the page"


def test_images_render(page):
    page.value("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    widths = page.value("Promise.all([...document.images].map((i) => i.decode().then(() => i.naturalWidth, () => 0)))")
    assert len(widths) > 5 and min(widths) > 0
    plots = page.value("[...document.querySelectorAll('.panels svg')].map((s) => s.getBoundingClientRect().width)")
    assert len(plots) > 5 and min(plots) > 200


def test_every_figure_says_where_its_numbers_are(page, run):
    sources = page.value("[...document.querySelectorAll('figure')].map((f) => f.querySelector('.source')?.textContent ?? '')")
    assert sources and all("fathom " in text for text in sources)
    links = page.value("[...document.querySelectorAll('.source a')].map((a) => a.getAttribute('href'))")
    assert links and all((run / "report" / link).is_file() for link in links)


def test_contents_lead_to_the_sections(page):
    targets = page.value("[...document.querySelectorAll('nav a')].map((a) => a.getAttribute('href').slice(1))")
    missing = [t for t in targets if not page.value(f"document.getElementById('{t}') !== null")]
    assert "summary" in targets and "provenance" in targets and missing == []


def test_layers_can_be_switched(page):
    boxes = page.value("[...document.querySelectorAll('#field input[data-layer]')].map((b) => [b.dataset.layer, b.checked])")
    assert len(boxes) >= 5
    for layer, checked in boxes:
        shown = f"getComputedStyle(document.getElementById('{layer}')).display !== 'none'"
        assert page.value(shown) == checked, layer
        page.value(f"document.querySelector('input[data-layer=\"{layer}\"]').click()")
        assert page.value(shown) != checked, layer
        page.value(f"document.querySelector('input[data-layer=\"{layer}\"]').click()")


def test_tables_sort_by_number_and_by_text(page):
    """The table of exposures: a column of texts, a column of numbers; up, then down; a screen reader is told."""
    table = "[...document.querySelectorAll('#background table.sortable')].find((t) => t.tHead.textContent.includes('FWHM'))"
    rows = page.value(f"{table}.tBodies[0].rows.length")
    assert rows > 2
    heads = page.value(f"[...{table}.tHead.rows[0].cells].map((c) => c.textContent)")
    for name, kind in [("FWHM [arcsec]", float), ("exposure", str), ("sky [nJy/arcsec²]", float)]:
        column = heads.index(name)
        cells = f"[...{table}.tBodies[0].rows].map((r) => r.cells[{column}].textContent)"
        for order in ["ascending", "descending"]:
            page.value(f"{table}.tHead.rows[0].cells[{column}].querySelector('button').click()")
            found = [kind(cell) for cell in page.value(cells)]
            assert found == sorted(found, reverse=order == "descending"), name
            assert page.value(f"[...{table}.tHead.rows[0].cells].map((c) => c.getAttribute('aria-sort'))")[column] == order
    assert page.value(f"{table}.tBodies[0].rows.length") == rows


def test_what_has_no_value_sorts_last(page):
    page.value(
        """document.body.insertAdjacentHTML("beforeend", `<table id="trial"><tbody>${
            ["3", "not measured", "-1.5e3", "–", "10 (8 to 12)"].map((t) => `<tr><td>${t}</td></tr>`).join("")}</tbody></table>`)"""
    )
    cells = "[...document.getElementById('trial').tBodies[0].rows].map((r) => r.textContent)"
    page.value("sortBy(document.getElementById('trial'), 0, false)")
    assert page.value(cells) == ["-1.5e3", "3", "10 (8 to 12)", "not measured", "–"]
    page.value("sortBy(document.getElementById('trial'), 0, true)")
    assert page.value(cells)[:3] == ["10 (8 to 12)", "3", "-1.5e3"]
    page.value("document.getElementById('trial').remove()")


@pytest.mark.parametrize("size", [PHONE, {"width": 768, "height": 1024}, {"width": 1280, "height": 900}], ids=["phone", "tablet", "desk"])
def test_nothing_is_wider_than_the_window(browser, address, size):
    browser.open(address, **size)
    browser.value("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert browser.value("document.documentElement.scrollWidth") <= size["width"]
    wide = browser.value(
        """[...document.querySelectorAll("body *")].filter((e) => !e.closest(".scroll, pre, svg") &&
            e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert wide == []


def test_text_is_large_and_dark_enough(browser, address):
    """On a phone: no text under 10 pixels outside drawings; contrast of all text colours at least 4.5 to 1 on white (WCAG AA)."""
    browser.open(address, **PHONE)
    found = browser.value(
        """[...document.querySelectorAll("p, td, th, th button, figcaption, summary, label, .label, .line, a")].map((e) => {
            const style = getComputedStyle(e);
            return [parseFloat(style.fontSize), style.color]; })"""
    )
    assert min(size for size, _ in found) >= 10

    def luminance(color):
        channels = [int(c) / 255 for c in color[color.index("(") + 1 : -1].split(",")[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(w * c for w, c in zip([0.2126, 0.7152, 0.0722], linear))

    poor = {color for _, color in found if 1.05 / (luminance(color) + 0.05) < 4.5}
    assert poor == set()


def test_screenshots_and_print(browser, address, artifacts):
    for name, size in [("desk", {"width": 1280}), ("phone", PHONE)]:
        browser.open(address, **size)
        path = artifacts / f"report-{name}.png"
        browser.screenshot(path)
        assert path.stat().st_size > 100_000
    browser.open(address)
    browser.screenshot(artifacts / "field.png", of="document.getElementById('field')")
    browser.pdf(artifacts / "report.pdf")
    assert (artifacts / "report.pdf").read_bytes().startswith(b"%PDF")
