"""Pages in a browser: the live figures, dragged and moved by keys, show the numbers that Python computes.

Skipped where there is no Playwright or no Chromium; ``nox -s browser`` runs it. ``--basetemp`` keeps the screenshots.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from differences_page import FUNCTIONS, estimates, exact
from live_pages import HERE, NAMES
from quadratic_page import START
from sinusoid_page import POINTS, gradient_step, start
from walk_page import GRAPHS

import minimeta as mm
from minimeta.explanation.walkthrough import walkthrough

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("there is no chromium", allow_module_level=True)

WIDTHS, SCHEMES = (400, 1280), ("light", "dark")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as run:
        browser = run.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    """Open a page by name. It may load nothing else, and say no error."""
    said: list[str] = []
    loaded: list[str] = []
    contexts = []

    def opened(name: str, folder: Path = HERE, **options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: loaded.append(request.url))
        page.goto((folder / f"{name}.html").as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
    assert {url for url in loaded if not url.startswith("file://")} == set()
    assert len(loaded) == len(contexts)


def shown(page: Any, name: str) -> float:
    """A number on the page, in all digits; in print it has six."""
    output = page.locator(f'[data-number="{name}"]')
    value = float(output.get_attribute("data-exact"))
    assert float(output.inner_text()) == pytest.approx(value, rel=1e-3)
    return value


def move(page: Any, name: str, value: float) -> None:
    """Set a slider as a reader's hand does."""
    page.locator(f'[name="{name}"]').evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", str(value)
    )


def drag(page: Any, label: str, right: float, down: float) -> None:
    """Drag a point by some pixels."""
    box = page.locator(f'[data-handle="{label}"]').bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right / 2, y + down / 2)
    page.mouse.move(x + right, y + down)
    page.mouse.up()


def place(page: Any, label: str) -> list[float]:
    """Where a point is, as it says to those who do not see it."""
    return [float(x) for x in page.locator(f'[data-handle="{label}"]').get_attribute("aria-valuetext").split(", ")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_pages_fit_phones_and_screens(open_page: Any, name: str, scheme: str, width: int, tmp_path: Path) -> None:
    page = open_page(name, viewport={"width": width, "height": 900}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".live").is_visible()
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    page.screenshot(path=tmp_path / f"{name}-{width}-{scheme}.png", full_page=True)


@pytest.mark.parametrize("name", NAMES)
def test_without_a_script_there_is_a_picture(open_page: Any, name: str, tmp_path: Path) -> None:
    page = open_page(name, java_script_enabled=False, viewport={"width": 400, "height": 900})
    assert page.locator("noscript svg").first.is_visible()
    assert not page.locator(".live").is_visible()
    page.screenshot(path=tmp_path / f"{name}-still.png", full_page=True)


def losses(name: str, x: Any, y: Any, rate: float) -> list[float]:
    """The losses of eleven steps, by numpy and minimeta."""
    parameters, found = start(name), []
    for _ in range(11):
        value, parameters = gradient_step(parameters, np.float32(x), np.float32(y), np.float32(rate))
        found.append(float(value))
    return found


def assert_losses(page: Any, expected: list[float]) -> None:
    found = [shown(page, f"loss-{step}") for step in range(11)]
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-7)  # in float32, along eleven steps


def test_the_network_takes_its_gradient_steps(open_page: Any, tmp_path: Path) -> None:
    page = open_page("sinusoid", viewport={"width": 1280, "height": 900})
    x, y = POINTS.astype(float), 3 * np.sin(POINTS.astype(float) - 1)
    assert_losses(page, losses("learned", x, y, 0.01))
    assert shown(page, "loss-1") < 0.2 * shown(page, "loss-0")
    move(page, "amplitude", 4.5)
    move(page, "phase", 0.5)
    move(page, "inner_learning_rate", 0.02)
    y = 4.5 * np.sin(x - 0.5)
    assert_losses(page, losses("learned", x, y, 0.02))
    drag(page, "point 2", 30, -60)
    x[1], y[1] = place(page, "point 2")
    assert x[1] > -2.2 and y[1] > 4.5 * np.sin(-2.7) + 1
    assert_losses(page, losses("learned", x, y, 0.02))
    page.locator('[data-handle="point 4"]').focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    assert place(page, "point 4") == pytest.approx([x[3] - 0.1, y[3] + 0.12], abs=1e-4)
    x[3], y[3] = place(page, "point 4")
    assert_losses(page, losses("learned", x, y, 0.02))
    page.screenshot(path=tmp_path / "dragged.png")
    page.select_option('[name="start"]', "random")
    assert_losses(page, losses("random", x, y, 0.02))


def test_the_meta_gradient_is_the_closed_form(open_page: Any, tmp_path: Path) -> None:
    page = open_page("quadratic", viewport={"width": 1280, "height": 900})

    def assert_closed_form() -> None:
        alpha, h, c, d, theta, steps = (shown(page, x) for x in ("alpha", "h", "c", "d", "theta", "steps"))
        factor = (1 - alpha * h) ** steps
        adapted = c + factor * (theta - c)
        expected = {
            "adapted": adapted,
            "factor": factor,
            "hessian": h,
            "loss": (adapted - d) ** 2 / 2,
            "first": adapted - d,
            "gradient": factor * (adapted - d),
        }
        for name, value in expected.items():
            assert shown(page, name) == pytest.approx(value, rel=1e-12, abs=1e-12), name

    assert [shown(page, name) for name in START] == list(START.values())
    assert_closed_form()
    for name, value in {"alpha": 0.7, "h": 1.7, "steps": 4}.items():
        move(page, name, value)
        assert shown(page, name) == value
        assert_closed_form()
    drag(page, "c, the minimum of the support loss", -60, 0)
    assert shown(page, "c") < START["c"]
    drag(page, "theta of the outer loss", 40, 0)
    assert shown(page, "theta") > START["theta"]
    assert_closed_form()
    page.locator('[data-handle="d, the minimum of the query loss"]').focus()
    before = shown(page, "d")
    page.keyboard.press("ArrowRight")
    assert before < shown(page, "d") <= before + 0.1
    assert_closed_form()
    page.screenshot(path=tmp_path / "dragged.png")


def test_a_fit_that_diverges_is_said_to(open_page: Any) -> None:
    page = open_page("sinusoid")
    move(page, "inner_learning_rate", 0.05)
    move(page, "steps", 10)
    assert page.locator('[data-number="loss-10"]').text_content() == "diverged"
    assert page.locator("path.curve.blue").get_attribute("d") == ""
    move(page, "inner_learning_rate", 0.01)
    assert shown(page, "loss-10") < 10 and page.locator("path.curve.blue").get_attribute("d") != ""


def test_the_errors_of_differences_are_those_of_python(open_page: Any, tmp_path: Path) -> None:
    page = open_page("differences", viewport={"width": 1280, "height": 900})
    for name, (_, _, _, at) in FUNCTIONS.items():
        page.select_option('[name="function"]', name)
        assert shown(page, "exact") == exact(name)
        for power in (-3.0, -4.5):
            move(page, "power", power)
            assert shown(page, "h") == pytest.approx(10**power)
            expected = estimates(name)(at, 10**power)
            # One unit in the last place of a function's value is 1e-16 / h of the difference's.
            for kind, value in zip(("forward", "central", "complex"), expected, strict=True):
                assert shown(page, kind) == pytest.approx(float(value), rel=1e-10), kind
        move(page, "power", -20)
        assert shown(page, "complex") == pytest.approx(exact(name), rel=1e-15)
        assert shown(page, "complex-error") < 1e-15
        assert (shown(page, "forward"), shown(page, "forward-error"), shown(page, "central-error")) == (0.0, 1.0, 1.0)
    drag(page, "the power of the step size", 200, 0)
    assert 1e-16 < shown(page, "h") < 1e-10
    page.locator('[data-handle="the power of the step size"]').focus()
    before = shown(page, "h")
    page.keyboard.press("ArrowRight")
    assert before < shown(page, "h") < 10 * before
    page.screenshot(path=tmp_path / "dragged.png")


@pytest.mark.parametrize("name", GRAPHS)
def test_the_walk_ends_with_the_gradient(open_page: Any, name: str, tmp_path: Path) -> None:
    page = open_page("walk", viewport={"width": 1280, "height": 900})
    page.select_option('[name="graph"]', name)
    function, point = GRAPHS[name].function, {x: np.array(at) for x, at in GRAPHS[name].point.items()}
    first, at = next(iter(point.items()))
    slider = f"{first}[0]" if at.shape else first
    move(page, f"input-{slider}", 1.25)
    at[(0,) * at.ndim] = 1.25
    last = int(page.locator('[name="position"]').get_attribute("max"))
    for step in range(1, last + 1):
        page.click("#next") if step % 2 else page.keyboard.press("ArrowRight")
        assert shown(page, "position") == step
        assert page.locator(".node.here:visible").count() == 1
        if step == last // 2 + 1:
            page.screenshot(path=tmp_path / f"{name}.png")
    known, cotangents = (
        json.loads(page.locator(".live").get_attribute(f"data-{kind}")) for kind in ("known", "cotangents")
    )
    value, gradient = mm.value_and_grad(function, argnums=tuple(range(len(point))))(*point.values())
    assert list(known.values())[-1] == pytest.approx([float(value)], rel=1e-12)
    for x, expected in zip(point, gradient, strict=True):
        np.testing.assert_allclose(cotangents[x], np.ravel(expected), rtol=1e-12, atol=1e-15)
    page.locator("h1").click()
    page.keyboard.press("ArrowLeft")
    assert shown(page, "position") == last - 1


def of_two(w: Any, x: Any) -> Any:
    return mm.mean(mm.tanh(x @ w) ** 2)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_walkthrough_marks_in_the_graph_what_one_points_at(open_page: Any, width: int, tmp_path: Path) -> None:
    text = walkthrough(of_two, {"w": np.array([0.5, 1.0]), "x": np.eye(2)})
    (tmp_path / "of_two.html").write_text(text, encoding="utf-8")
    page = open_page("of_two", tmp_path, viewport={"width": width, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    items = page.locator("ol.instructions li")
    names = [items.nth(i).get_attribute("data-name") for i in range(items.count())]
    items.first.focus()
    for name in names[1:]:
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.dataset.name") == name
        marked = page.locator("svg.graph .node.here")
        assert [marked.nth(i).get_attribute("data-name") for i in range(marked.count())] == [name]
        assert page.locator("svg.graph .arrow.here").count() > 0
    page.keyboard.press("ArrowDown")  # There is none below the last.
    page.locator(f'.node[data-name="{names[1]}"]').click()
    assert page.evaluate("document.activeElement.dataset.name") == names[1]
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.dataset.name") == names[0]
    page.screenshot(path=tmp_path / "of_two.png", full_page=True)
