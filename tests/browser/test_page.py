"""The page of a run in a real browser, from disk: it draws, asks nobody for anything, and does what is clicked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.records.outcomes import Outcome
from harness.report import content, page
from tests import handmade
from tests.test_advise import FORK, IMPORT, SPAWN, trials
from tests.test_report import EVIL, made

selenium = pytest.importorskip("selenium")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.options import Options  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium and chromedriver are not on PATH")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = Options()
    options.binary_location = CHROMIUM or ""
    for flag in (*QUIET, f"--user-data-dir={tmp_path_factory.mktemp('profile')}", "--window-size=1400,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.get("about:blank")
    driver.get_log("performance")  # what the browser's own first page asked for
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def opened(browser: webdriver.Chrome, tmp_path_factory: pytest.TempPathFactory) -> webdriver.Chrome:
    bad = [handmade.changed(one, reason=EVIL, cause="fork-lost-threads", support=[EVIL]) for one in
           trials(IMPORT, 1, end=Outcome.HUNG)]  # fmt: skip
    folder = made(tmp_path_factory.mktemp("page") / "run", trials(FORK, 100, 101, 99), trials(SPAWN, 60, 61, 59), bad)
    path = folder / "report.html"
    path.write_text(page.render(content.read(folder)))
    browser.get(path.as_uri())
    WebDriverWait(browser, 30).until(lambda it: it.execute_script("return document.documentElement.dataset.drawn"))
    return browser


def rows(browser: webdriver.Chrome) -> list[str]:
    """The ids of the rows that are shown, in order."""
    shown = [row for row in browser.find_elements(By.CSS_SELECTOR, "#table tbody tr") if row.is_displayed()]
    return [row.find_element(By.CSS_SELECTOR, "td a").text for row in shown]


def test_nothing_is_asked_for_and_nothing_complains(opened: webdriver.Chrome) -> None:
    assert [entry for entry in opened.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len([url for url in asked if url.startswith("file:")]) == 1
    assert opened.find_elements(By.CSS_SELECTOR, ".chart svg")


def test_a_filter_leaves_what_fits(opened: webdriver.Chrome) -> None:
    everything = rows(opened)
    field = opened.find_element(By.ID, "filter")
    field.send_keys("prefork-spawn")
    assert rows(opened) == [SPAWN.id]
    assert opened.find_element(By.ID, "shown").text == f"1 of {len(everything)} cells"
    field.clear()
    field.send_keys(" ")
    assert rows(opened) == everything


def test_a_click_on_a_head_sorts(opened: webdriver.Chrome) -> None:
    button = next(one for one in opened.find_elements(By.CSS_SELECTOR, "#table th button") if "req" in one.text.lower())
    button.click()
    rising = rows(opened)
    button.click()
    falling = rows(opened)
    assert rising.index(SPAWN.id) < rising.index(FORK.id)
    assert falling.index(FORK.id) < falling.index(SPAWN.id)


def test_a_link_opens_the_evidence(opened: webdriver.Chrome) -> None:
    chip = opened.find_element(By.CSS_SELECTOR, "table.matrix a.chip.hung")
    chip.click()
    cell = opened.find_element(By.CSS_SELECTOR, "details.cell[open]")
    assert IMPORT.id in cell.text
    evidence = cell.find_element(By.CSS_SELECTOR, "details.evidence summary")
    evidence.click()
    text = cell.find_element(By.CSS_SELECTOR, "details.evidence pre")
    assert text.is_displayed()
    assert "<script>alert(1)</script>" in text.text
    link = cell.find_element(By.CSS_SELECTOR, "details.evidence a")
    assert Path(link.get_attribute("href").removeprefix("file://")).is_file()


def test_charts_are_as_wide_as_the_page(opened: webdriver.Chrome) -> None:
    wide = opened.execute_script(
        "return [...document.querySelectorAll('.chart')].map(one => one.querySelector('svg').clientWidth / one.clientWidth)"
    )
    assert len(wide) >= 2
    assert all(0.95 < one <= 1.0 for one in wide)


def test_what_to_paste_is_copied_by_its_button(opened: webdriver.Chrome) -> None:
    opened.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]})
    button = opened.find_element(By.CSS_SELECTOR, ".advice .copy")
    button.click()
    WebDriverWait(opened, 10).until(lambda it: button.text == "Copied")
    text = opened.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert text.startswith("export ")
    assert "celery --app" in text


def test_light_and_dark_differ(opened: webdriver.Chrome) -> None:
    def ground() -> str:
        return str(opened.execute_script("return getComputedStyle(document.body).backgroundColor"))

    before = ground()
    opened.find_element(By.ID, "theme").click()
    assert ground() != before


@pytest.mark.parametrize("width", [390, 820, 1400])
def test_it_fits_the_width_of_a_phone_and_of_a_desk(opened: webdriver.Chrome, width: int) -> None:
    opened.set_window_size(width, 900)
    wide = opened.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0
