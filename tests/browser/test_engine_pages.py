"""The pages of engines as the site has them: sound HTML, no dead link; in a real browser on a phone, wide, dark, in print.

They need what `make docs` installs, and are skipped without it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

pytest.importorskip("mkdocs", reason="`make docs` installs what builds the site")
from tests.browser.test_page import CHROMIUM, DRIVER, browser  # noqa: F401
from tests.doc_pages import ROOT

pytest.importorskip("selenium")
from selenium import webdriver
from selenium.webdriver.common.by import By

needs_browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium and chromedriver are not on PATH")
VOID = frozenset(("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"))
SVG = frozenset(("path", "circle", "rect"))  # close themselves
LOCAL = ("http://", "https://", "mailto:", "data:", "javascript:")


class Html(HTMLParser):
    """Collects ids and links; `faults`: ends that match no begin, ids that are there twice, pictures without words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.headings: list[str] = []
        self.faults: list[str] = []
        self.feed(text)
        self.close()
        self.faults += [f"<{name}> is never closed" for name in self.open if name not in ("p", "li")]
        self.faults += [f"id {name} {count} times" for name, count in Counter(self.ids).items() if count > 1]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if known.get("id"):
            self.ids.append(known["id"] or "")
        self.links += [known[name] or "" for name in ("href", "src") if name in known]
        self.faults += ["an <img> without alt"] if tag == "img" and "alt" not in known else []
        if tag in ("h1", "h2"):
            self.headings.append(tag)
        if tag not in VOID | SVG:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Of SVG alone."""

    def handle_endtag(self, tag: str) -> None:
        if tag in SVG:
            return
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes <{self.open[-1] if self.open else ''}> at {self.getpos()}")
        elif self.open:
            self.open.pop()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(build, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def pages(built: Path) -> list[Path]:
    found = [built / "engines.html", *sorted((built / "engines").glob("*.html"))]
    assert len(found) > 8
    return found


def test_the_html_is_sound(built: Path) -> None:
    for page in pages(built):
        read = Html(page.read_text())
        assert (page.name, read.faults) == (page.name, [])
        assert read.headings[:1] == ["h1"], page.name
        assert read.headings.count("h1") == 1, page.name


def test_every_link_leads_into_the_site_and_to_an_anchor_there(built: Path) -> None:
    known: dict[Path, list[str]] = {}
    for page in pages(built):
        for link in Html(page.read_text()).links:
            if link.startswith(LOCAL):
                continue
            path, _, anchor = link.partition("#")
            file = (page.parent / unquote(path)).resolve() if path else page
            assert file.exists(), f"{page.name}: {link}"
            if anchor and file.suffix == ".html":
                ids = known.setdefault(file, Html(file.read_text()).ids)
                assert unquote(anchor) in ids or anchor.startswith("__"), f"{page.name}: {link}"


@pytest.fixture
def opened(browser: webdriver.Chrome, built: Path) -> Iterator[webdriver.Chrome]:  # noqa: F811
    browser.get((built / "engines" / "tensorflow2.html").as_uri())
    yield browser
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def too_wide(driver: webdriver.Chrome) -> int:
    return int(driver.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def sized(driver: webdriver.Chrome, width: int) -> None:
    told = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", told)


@needs_browser
@pytest.mark.parametrize("width", [390, 820, 1400])
def test_a_page_fits_a_phone_and_a_desk_and_each_table_scrolls_by_itself(opened: webdriver.Chrome, width: int) -> None:
    sized(opened, width)
    assert too_wide(opened) <= 0
    tables = opened.find_elements(By.CSS_SELECTOR, "article table")
    assert len(tables) >= 5
    outside = opened.execute_script(
        "return [...document.querySelectorAll('article table')].filter(one => {"
        " const box = one.closest('.md-typeset__scrollwrap') || one;"
        " return box.getBoundingClientRect().right > innerWidth + 1 && getComputedStyle(box).overflowX == 'visible'}).length"
    )
    assert outside == 0


@needs_browser
def test_the_text_is_there_without_javascript_and_asks_nobody(opened: webdriver.Chrome) -> None:
    opened.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    sized(opened, 390)
    opened.refresh()
    article = opened.find_element(By.CSS_SELECTOR, "article")
    for heading in (
        "Which pool",
        "Where to load the model",
        "Which threads",
        "What hangs, and what else fails",
        "What it costs",
    ):
        assert heading in article.text
    assert "no trial failed in prefork" in article.text
    folded = article.find_element(By.CSS_SELECTOR, "details")
    folded.find_element(By.CSS_SELECTOR, "summary").click()
    assert folded.find_element(By.CSS_SELECTOR, "table").is_displayed()


@needs_browser
def test_dark_differs_from_light_and_is_readable(opened: webdriver.Chrome) -> None:
    def colours(scheme: str) -> tuple[str, str]:
        told = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", told)
        opened.refresh()
        found = opened.execute_script(
            "const cell = document.querySelector('article td'); return [getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(cell).color]"
        )
        return found[0], found[1]

    light, dark = colours("light"), colours("dark")
    assert light != dark
    assert light[0] != light[1]
    assert dark[0] != dark[1]


@needs_browser
def test_in_print_nothing_is_cut_off_at_the_right(opened: webdriver.Chrome) -> None:
    sized(opened, 718)  # A4 without its margins, at 96 dots per inch
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    cut = opened.execute_script(
        "return [...document.querySelectorAll('article table')].filter(one => one.offsetParent)"
        ".map(one => Math.round(one.getBoundingClientRect().right)).filter(right => right > innerWidth)"
    )
    assert cut == []
    torn = opened.execute_script(
        "return [...document.querySelectorAll('article td')].filter(one => one.offsetParent && /^[0-9.]+$/.test(one.innerText))"
        ".filter(one => { const all = document.createRange(); all.selectNodeContents(one);"
        " return all.getClientRects().length > 1 }).map(one => one.innerText)"
    )
    assert torn == []
    assert not opened.find_elements(By.CSS_SELECTOR, "nav.md-tabs")[0].is_displayed()
