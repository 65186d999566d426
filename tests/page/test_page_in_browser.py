"""The page in a real browser: nothing wider than the screen, nothing called, everything readable.

`DAC_CHROMIUM` names the browser; without it /usr/bin/chromium is tried, or the tests are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dac.page.write import write_page

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = Path(os.environ.get("DAC_CHROMIUM", "/usr/bin/chromium"))
WIDTHS = (1280, 390)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"no browser at {CHROMIUM} (DAC_CHROMIUM)"),
]

# Every visible text's contrast to what lies behind it, and those that WCAG's AA refuses. A colour
# that lets something through is held against white and black below it, whichever is worse.
CONTRAST = """() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((part, i) => a * part + (1 - a) * below[i]);
  const luminance = (colour) => {
    const [r, g, b] = colour.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  // What an element stands on: its own and its ancestors' backgrounds, down to an opaque one.
  const grounds = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) {
      const layer = parse(getComputedStyle(one).backgroundColor);
      if (layer[3] > 0) layers.push(layer);
      if (layer[3] === 1) break;
    }
    const ends = layers.at(-1)?.[3] === 1 && layers.length === 1
      ? [[255, 255, 255]] : [[255, 255, 255], [0, 0, 0]];
    return ends.map((end) => layers.reduceRight((below, layer) => over(layer, below), end));
  };
  document.querySelectorAll("details").forEach((one) => (one.open = true));
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = { count: 0, faults: [] };
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const words = walker.currentNode.textContent.trim();
    const box = element.getBoundingClientRect();
    if (!words || !box.width || element.closest("script, style, title, desc, [hidden]")) continue;
    const style = getComputedStyle(element);
    if (style.visibility === "hidden") continue;
    const colour = parse(element.closest("svg") ? style.fill : style.color);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const seen = grounds(element).map((ground) => ratio(over(colour, ground), ground));
    const worst = Math.min(...seen);
    found.count += 1;
    if (worst < (large ? 3 : 4.5)) {
      found.faults.push(`${worst.toFixed(2)}: ${words.slice(0, 40)} (${element.className})`);
    }
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def file(make_results: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with all sections, and a name that is one long word."""
    results = make_results(tmp_path_factory.mktemp("page"), name="W" * 300)
    write_page(results, "toy", results / "page.html")
    return results / "page.html"


@pytest.fixture
def visit(browser: Any, file: Path) -> Iterator[Callable[..., Any]]:
    """`visit(width, scheme)` opens the page; at the end nothing was said, and nothing requested."""
    said: list[str] = []
    contexts = []

    def opened(width: int = 1280, scheme: str = "light", **options: Any) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            **{"reduced_motion": "reduce", **options},
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: said.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_timeout(200)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [text for text in said if text != file.as_uri() and not text.startswith("data:")] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_can_be_read(visit: Callable[..., Any], width: int, scheme: str) -> None:
    page = visit(width, scheme)
    contrast = page.evaluate(CONTRAST)
    assert contrast["count"] > 150 and contrast["faults"] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in light[4:-1].split(",")) / 3
    assert brightness > 200 if scheme == "light" else brightness < 60


def test_the_contrast_is_really_measured(visit: Callable[..., Any]) -> None:
    page = visit()
    page.evaluate("document.querySelector('.lead').style.color = '#a0a0a0'")
    assert any(fault.startswith("2.5") for fault in page.evaluate(CONTRAST)["faults"])


@pytest.mark.parametrize("width", WIDTHS)
def test_the_divider_follows_pointer_and_keys(visit: Callable[..., Any], width: int) -> None:
    page = visit(width)
    view = page.locator(".view:visible")
    divider, stage = view.locator(".divider"), view.locator(".stage")
    layers = view.locator(".layer")
    assert [layers.nth(i).is_visible() for i in range(3)] == [False, True, True]
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 60)
    page.mouse.up()
    assert int(divider.get_attribute("aria-valuenow")) == 25
    assert "75%" in layers.nth(1).evaluate("one => one.style.clipPath")
    for key, now in (("ArrowRight", 27), ("Shift+ArrowLeft", 17), ("Home", 0), ("End", 100)):
        divider.press(key)
        assert int(divider.get_attribute("aria-valuenow")) == now
    page.get_by_role("button", name="truth | baseline 2x").click()
    assert [layers.nth(i).is_visible() for i in range(3)] == [True, True, False]


def test_thumbnails_choose_the_view(visit: Callable[..., Any]) -> None:
    page = visit()
    figures = page.locator(".view")
    assert [figures.nth(i).is_visible() for i in range(4)] == [False, False, True, False]
    page.locator(".thumbnails button").nth(1).click()
    assert [figures.nth(i).is_visible() for i in range(4)] == [False, True, False, False]


def _picture(page: Any) -> str:
    page.wait_for_timeout(150)
    return str(page.evaluate("document.querySelector('canvas').toDataURL()"))


@pytest.mark.parametrize("width", WIDTHS)
def test_the_partition_turns_and_its_groups_toggle(visit: Callable[..., Any], width: int) -> None:
    page = visit(width)
    canvas = page.locator("canvas")
    canvas.scroll_into_view_if_needed()
    seen = [_picture(page)]
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 120)
    page.mouse.down()
    page.mouse.move(box["x"] + 230, box["y"] + 140)
    page.mouse.up()
    seen.append(_picture(page))
    for key in ("ArrowLeft", "ArrowUp", "+"):
        canvas.press(key)
        seen.append(_picture(page))
    for button in page.locator(".groups button").all():
        button.click()
        assert button.get_attribute("aria-pressed") == "false"
        seen.append(_picture(page))
    assert len(set(seen)) == len(seen)
    for button in page.locator(".groups button").all():
        button.click()
    canvas.press("Home")
    assert _picture(page) == seen[0]


def test_it_turns_by_itself_once_unless_motion_is_unwanted(visit: Callable[..., Any]) -> None:
    for motion, moves in (("reduce", False), ("no-preference", True)):
        page = visit(reduced_motion=motion)
        page.locator("canvas").scroll_into_view_if_needed()
        before = _picture(page)
        assert (_picture(page) != before) == moves
    page.wait_for_timeout(3500)
    assert _picture(page) == _picture(page)


@pytest.mark.parametrize("width", WIDTHS)
def test_curves_can_be_read_off(visit: Callable[..., Any], width: int) -> None:
    page = visit(width)
    plot, reading = page.locator(".plot:visible"), page.locator(".reading")
    plot.scroll_into_view_if_needed()
    assert plot.count() == 1 and not reading.is_visible()
    box = plot.bounding_box()
    plot.hover(position={"x": box["width"] * 0.97, "y": box["height"] / 2})
    text = reading.inner_text().split()
    assert text[:2] == ["step", "240"] and text[2:6] == ["DaC", "(corrected)", "20.06", "dB"]
    page.mouse.move(1, 1)
    page.locator("#curves").focus()
    page.keyboard.press("ArrowLeft")
    assert reading.inner_text().split()[:2] == ["step", "225"]
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_gets_out_even_if_asked(browser: Any, file: Path) -> None:
    page = browser.new_page()
    page.goto(file.as_uri())
    blocked = page.evaluate(
        """() => new Promise((done) => {
          const seen = [];
          document.addEventListener("securitypolicyviolation", (event) => {
            seen.push(event.effectiveDirective);
            if (seen.length === 3) done(seen.sort());
          });
          new Image().src = "http://127.0.0.1:9/picture.png";
          fetch("http://127.0.0.1:9/").catch(() => 0);
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.body.append(script);
          setTimeout(() => done(seen.sort()), 3000);
        })"""
    )
    assert blocked == ["connect-src", "img-src", "script-src-elem"]
    assert page.evaluate("window.ran") is None
    page.close()


def test_without_scripts_all_pictures_are_there(browser: Any, file: Path) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 900})
    page = context.new_page()
    page.goto(file.as_uri())
    assert all(one.is_visible() for one in page.locator(".layer img").all())
    assert page.locator(".plot.narrow").is_visible() and not page.locator(".pairs").is_visible()
    context.close()
