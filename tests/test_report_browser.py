"""report.html in a real Chromium: pointer, keyboard, sorting, two widths, light and dark, no word on the console."""

import re
import shutil
from collections.abc import Iterator

import pytest

from fl_tiprdc.report.page import write_page
from fl_tiprdc.report.run_tables import read_run
from tests.report_folder import HOSTILE, make_coded_run, make_run

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
WIDE, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A page of one run and one of two."""
    root = tmp_path_factory.mktemp("pages")
    runs = [read_run(make_run(root / "one")), read_run(make_run(root / "two", shift=0.05, clients=10))]
    write_page(root / "one.html", runs[:1])
    write_page(root / "two.html", runs)
    write_page(root / "coded.html", [read_run(make_coded_run(root / "coded"))])
    return root


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        # as root, in a container, Chromium has no sandbox
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(pages, browser) -> Iterator:
    """Opens a page; at the end nothing may have gone wrong or outside."""
    wrong: list[str] = []
    contexts = []

    def open_page(name="one", size=WIDE, scheme="light", **options):
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: wrong.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else wrong.append(f"asked {r.url}"))
        page.goto((pages / f"{name}.html").as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def marks(page):
    return page.locator("#frontier-figure .mark")


def point(page, name):
    return page.locator(f'#frontier-figure .mark[data-point="{name}"]')


def texts(page, heading, column):
    """Of one column of the table under a heading."""
    table = page.locator(".table", has=page.get_by_role("heading", name=heading, exact=True)).first
    return table.locator(f"tbody tr:visible td:nth-child({column})").all_inner_texts()


def test_pointing_at_a_mark_reads_it(visit):
    page = visit()
    assert marks(page).count() == 15
    tip = page.locator("#frontier-tip")
    assert not tip.is_visible()
    point(page, "tiprdc+, federated, λ = 0.5").hover()
    text = tip.inner_text()
    for wanted in ("tiprdc+, federated, λ = 0.5", "mlp, AUC 0.785", "0.760 to 0.810", "mean retention", "income 0.9"):
        assert wanted in text
    assert HOSTILE in text  # as text
    page.mouse.move(5, 5)
    assert not tip.is_visible()


def test_a_click_shows_a_points_attackers_and_tasks_and_close_takes_them_away(visit):
    page = visit()
    details = page.locator("#details")
    assert not details.is_visible()
    point(page, "tiprdc+, centralized, λ = 0.1").click()
    assert details.get_by_role("heading", name="tiprdc+, centralized, λ = 0.1").is_visible()
    assert "79.6 bits" in details.inner_text()
    assert sorted(texts(page, "Attackers (marked: the one that counts)", 2)) == ["boosting", "logistic", "mlp"]
    assert details.locator("tr", has=page.locator(".marked")).locator("td").nth(1).inner_text() == "mlp"
    tasks = details.locator(".table", has=page.get_by_role("heading", name="Unknown tasks"))
    assert tasks.locator("tbody td:first-child").all_inner_texts() == ["income", "college", HOSTILE]
    details.get_by_role("button", name="Close").click()
    assert not details.is_visible()


def test_the_figure_is_read_with_the_keyboard_alone(visit):
    page = visit()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('mark')"):
            break
    focused = page.locator(".mark:focus")
    first = focused.get_attribute("data-point")
    assert page.locator("#frontier-tip").is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.mark:focus .ring')).stroke") != "none"
    label = focused.get_attribute("aria-label")
    assert re.search(r"worst attack: mlp, AUC 0\.\d+, interval .*; mean retention .*income", label)
    page.keyboard.press("ArrowRight")
    second = focused.get_attribute("data-point")
    assert second != first
    assert second.split(",")[0] == first.split(",")[0]  # of the same curve
    page.keyboard.press("ArrowDown")
    assert focused.get_attribute("data-point").rsplit(",", 1)[0] != second.rsplit(",", 1)[0]
    page.keyboard.press("Enter")
    assert page.locator("#details h3").first.inner_text() == focused.get_attribute("data-point")
    assert "Details of" in page.locator("#frontier-status").inner_text()
    page.keyboard.press("Escape")
    assert not page.locator("#frontier-tip").is_visible()
    assert page.locator('#frontier-figure [tabindex="0"]').count() == 1  # Tab leaves the figure at once
    page.keyboard.press("Tab")
    assert page.locator(".mark:focus").count() == 0


def test_tables_sort_by_click_and_by_keyboard(visit):
    page = visit()
    table = page.locator("#tables .table", has=page.get_by_role("heading", name="Points", exact=True))
    button = table.get_by_role("button", name="attack", exact=True)
    button.click()
    header = table.locator("th[aria-sort]")
    assert header.get_attribute("aria-sort") == "ascending"
    values = [float(text) for text in texts(page, "Points", 4)]
    assert values == sorted(values)
    button.focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert [float(text) for text in texts(page, "Points", 4)] == values[::-1]
    table.get_by_role("button", name="setting").click()
    assert header.count() == 1
    settings = texts(page, "Points", 1)
    assert settings == sorted(settings)


def test_long_tables_can_be_searched(visit):
    page = visit()
    table = page.locator("#tables .table", has=page.get_by_role("heading", name="Attackers", exact=True))
    assert table.get_by_role("status").inner_text() == "45 rows"
    table.get_by_role("searchbox").fill("federated logistic")
    assert table.get_by_role("status").inner_text() == "6 of 45 rows"
    assert set(texts(page, "Attackers", 5)) == {"logistic"}


def test_curves_can_be_hidden_and_tasks_chosen(visit):
    page = visit()
    button = page.locator("#frontier-legend button", has_text="tiprdc+, federated")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert marks(page).count() == 12
    button.click()
    assert marks(page).count() == 15
    place = "document.querySelector('[data-point=\"tiprdc+, federated, λ = 0.9\"]').getBoundingClientRect().y"
    before = page.evaluate(place)
    page.select_option("#frontier-value", label="retention of income")
    assert "retention of income" in page.locator("#frontier-figure").get_attribute("aria-label")
    assert page.evaluate(place) != before


def test_training_curves_are_read_by_pointer_and_keyboard(visit):
    page = visit()
    panels = page.locator("#curves-panels svg")
    assert panels.count() == 3
    widths = [box["width"] for box in (panel.bounding_box() for panel in panels.all())]
    assert max(widths) - min(widths) < 2
    assert re.search(r"λ 0\.1: from \S+ to \S+;", panels.first.get_attribute("aria-label"))
    reading = page.locator("#curves-reading")
    panels.first.focus()
    page.keyboard.press("ArrowRight")
    assert "tiprdc+, federated, round 1, adversary's cross-entropy" in reading.inner_text()
    page.keyboard.press("ArrowRight")
    assert "round 2" in reading.inner_text()
    panels.nth(2).hover()
    assert "information" in reading.inner_text() or "privacy" in reading.inner_text()
    page.select_option("#curves-of", label="tiprdc, federated")
    assert panels.count() == 3
    assert "tiprdc, federated" in panels.first.get_attribute("aria-label")


def test_two_runs_are_compared(visit):
    page = visit("two")
    assert marks(page).count() == 30
    deltas = [float(text) for text in texts(page, "Points of both", 6)]
    assert len(deltas) == 15
    assert sorted(set(deltas)) == [-0.05, 0]  # raw data are the same
    names = page.locator(".table", has=page.get_by_role("heading", name="Settings that differ"))
    assert names.locator("tbody tr").all_inner_texts() == ["clients\t100\t10"]
    page.select_option("#run-b", label="one")
    assert set(texts(page, "Points of both", 6)) == {"0.000"}
    assert page.get_by_text("Every setting is the same.").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("name", ["one", "two", "coded"])
def test_the_page_fits_and_can_be_read(visit, name, size, scheme):
    page = visit(name, size, scheme)
    assert page.title().startswith("Federated TIPRDC")  # nothing of the data has run
    marks(page).nth(8).focus()
    page.keyboard.press("Enter")
    page.set_viewport_size(size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    inside = """() => Array.from(document.querySelectorAll("svg, .tip, .scroll, img"), (e) => e.getBoundingClientRect())
      .every((box) => box.left >= -1 && box.right <= innerWidth + 1)"""
    assert page.evaluate(inside)
    light = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((sum, part) => sum + Number(part), 0)"
    )
    assert (light > 600) == (scheme == "light")
    # what stands on the ground stands out from it: 4.5 : 1, as WCAG AA asks of text
    contrast = page.evaluate(
        """() => {
          const light = (text) => text.match(/[\\d.]+/g).slice(0, 3).map((part) => {
            const c = Number(part) / 255;
            return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
          }).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
          const ground = light(getComputedStyle(document.body).backgroundColor);
          const worst = [".note", "h1", "nav a", "dt", "td", "figcaption", "#curves-reading"].map((which) => {
            const found = document.querySelector(which);
            if (!found) return 21;
            const own = light(getComputedStyle(found).color);
            return (Math.max(own, ground) + 0.05) / (Math.min(own, ground) + 0.05);
          });
          return Math.min(...worst);
        }"""
    )
    assert contrast >= 4.5


def test_a_finger_gets_the_details_at_once(visit):
    page = visit(size=PHONE, has_touch=True)
    point(page, "tiprdc+, federated, λ = 0.9").scroll_into_view_if_needed()
    point(page, "tiprdc+, federated, λ = 0.9").tap()
    assert page.locator("#details h3").first.is_visible()


def test_figures_follow_the_width_and_the_color_scheme(visit):
    page = visit()
    wide = page.locator("#frontier-figure").get_attribute("viewBox")
    stroke = "document.querySelector('#curves-panels svg path[stroke-width=\"1.8\"]').getAttribute('stroke')"
    light = page.evaluate(stroke)
    page.set_viewport_size(PHONE)
    box = "document.querySelector('#frontier-figure').getAttribute('viewBox')"
    page.wait_for_function(f"before => {box} !== before", arg=wide)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"before => {stroke} !== before", arg=light)


def test_codes_are_read_by_pointer_and_keyboard_on_table_and_map(visit):
    page = visit("coded")
    reading = page.locator("#codes-reading")
    assert page.locator("#codes-panels svg").count() == 2  # before the coupling, and after
    page.locator("#codes-panels svg").first.locator('[data-code="3"]').hover()
    assert "Code 3, 25.0 % of the people: Female 50.0 %" in reading.inner_text()
    assert "at λ = 0.1 10.0 %" in reading.inner_text()
    assert f"Stands for: age 23; {HOSTILE}." in reading.inner_text()  # as text
    assert page.locator("#codes .marked-code").count() == 3  # in the table and on both maps
    page.select_option("#codes-lambda", label="0.1")
    page.locator("#codes-table").focus()
    page.keyboard.press("End")
    assert "Code 0" in reading.inner_text()
    page.keyboard.press("ArrowLeft")
    assert "Code 1" in reading.inner_text()


def test_certified_bounds_and_limits_are_in_the_frontier(visit):
    page = visit("coded")
    assert page.locator("#frontier-figure").get_by_text("limit at no leak").count() == 1
    label = point(page, "tiprdc+, federated, λ = 0.5").get_attribute("aria-label")
    assert "certified 0.835" in label
