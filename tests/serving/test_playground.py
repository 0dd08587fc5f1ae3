"""The pages in a real browser, against the running service: what a person does, on a screen and on a phone."""

from __future__ import annotations

import csv
import io
import os
import re
from pathlib import Path

import pytest

import yanmo

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.browser
SHOTS = os.environ.get("YANMO_SCREENSHOTS")
"""A folder for pictures to look at."""


@pytest.fixture
def visit(chromium):
    """Open a page of a service; at the end nothing was logged and nothing came from elsewhere."""
    pages = []

    def open_page(client, path="/", width=1200, scheme="light", locale="en-US"):
        context = chromium.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme, locale=locale, accept_downloads=True
        )
        page = context.new_page()
        page.messages, page.strangers = [], []
        home = f"http://127.0.0.1:{client.port}"
        page.on("console", lambda message: page.messages.append(message.text))
        page.on("pageerror", lambda error: page.messages.append(str(error)))
        page.on(
            "request",
            lambda request: request.url.startswith((home, "data:", "blob:")) or page.strangers.append(request.url),
        )
        page.goto(f"{home}{path}")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        assert page.messages == page.strangers == []
        page.context.close()


def shoot(page, name):
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


@pytest.fixture(scope="module")
def service(bundles, serving):
    with serving(bundles["ngram"], bundles["multi_label"], bundles["text_pair"]) as client:
        yield client


@pytest.mark.parametrize(("width", "scheme", "locale"), [(1200, "light", "en-US"), (390, "dark", "zh-CN")])
def test_a_text_is_asked_with_the_keyboard_alone(service, visit, width, scheme, locale):
    page = visit(service, width=width, scheme=scheme, locale=locale)
    page.wait_for_selector("#model option", state="attached")
    assert not page.locator("#key").is_visible(), "no key is needed"
    assert page.evaluate("document.activeElement.id") == "texts"
    page.keyboard.type("很快，好吃")
    page.keyboard.press("Enter")
    page.keyboard.type("<img src=x onerror=alert(1)>")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#answers li:nth-child(2)")
    answer = service.predict(text="很快，好吃").json
    shown = page.locator("#answers li").first
    assert shown.locator(".asked").text_content() == "很快，好吃"
    assert shown.locator(".label").text_content() == answer["prediction"]
    assert shown.locator(".track").count() == 3
    best = max(answer["probabilities"].values())
    share = shown.locator(".track i").first.evaluate("bar => bar.offsetWidth / bar.parentNode.offsetWidth")
    assert share == pytest.approx(best, abs=0.02)
    assert "ms" in page.locator("#times").text_content()
    assert page.locator("#answers img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.get_attribute("html", "lang") == ("zh-CN" if locale == "zh-CN" else "en")
    page.wait_for_selector("#metrics li")
    assert page.evaluate(
        "[...document.querySelectorAll('button, select')].every(one => !one.offsetHeight || one.offsetHeight >= 32)"
    )
    shoot(page, f"playground-{width}-{scheme}-{locale}")


def test_the_language_changes_and_every_word_has_both(service, visit):
    page = visit(service)
    page.wait_for_selector("#model option", state="attached")
    before = page.locator("#go").text_content()
    page.click("#language")
    assert page.locator("#go").text_content() == "预测" != before
    assert page.evaluate("Object.values(WORDS).every(pair => pair.length === 2 && pair.every(Boolean))")
    used = page.evaluate("[...document.querySelectorAll('[data-say]')].map(one => one.textContent)")
    assert all(used)


def test_a_csv_comes_back_with_predictions(service, visit, tmp_path):
    rows = [["id", "text"], ["1", "很快，好吃"], ["2", 'say "hi",\nplease'], ["3", ""]] + [
        [str(i), f"t {i}"] for i in range(4, 400)
    ]
    file = tmp_path / "in.csv"
    with file.open("w", encoding="utf-8-sig", newline="") as out:
        csv.writer(out).writerows(rows)
    page = visit(service)
    page.wait_for_selector("#model option", state="attached")
    with page.expect_file_chooser() as chooser:
        page.click("label[for=csv]")
    chooser.value.set_files(file)
    page.wait_for_selector("#column option", state="attached")
    assert page.locator("#column").input_value() == "text"
    page.click("#run")
    page.wait_for_selector("#download:not([hidden])")
    with page.expect_download() as download:
        page.click("#download")
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    got = list(csv.reader(io.StringIO(text, newline="")))
    assert got[0] == ["id", "text", "prediction", "probability", "truncated"]
    assert [row[:2] for row in got[1:]] == rows[1:]
    answers = service.predict(texts=[row[1] for row in rows[1:4]]).json["predictions"]
    assert [row[2] for row in got[1:4]] == [answer["prediction"] for answer in answers]
    shoot(page, "playground-csv")


def test_a_file_is_dropped_and_long_rows_fit_a_body(service, visit):
    page = visit(service)
    page.wait_for_selector("#model option", state="attached")
    rows = "text\\n" + ("好" * 15_000 + "\\n") * 40
    file = page.evaluate_handle(
        f"() => {{ const data = new DataTransfer(); data.items.add(new File(['{rows}'], 'x.csv')); return data; }}"
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": file})
    page.click("#run")
    page.wait_for_selector("#download:not([hidden])")
    assert page.locator("#csv-said").text_content() == "40 rows answered"


def test_pairs_several_labels_and_not_being_sure(service, visit):
    page = visit(service)
    page.wait_for_selector("#model option", state="attached")
    page.select_option("#model", "text_pair")
    page.fill("#texts", "很快\t好吃")
    page.click("#go")
    page.wait_for_selector("#answers li")
    page.select_option("#model", "ngram")
    page.locator("#threshold").fill("1")
    page.fill("#texts", "a")
    page.click("#go")
    answer = page.locator("#answers .label").first
    sync_api.expect(answer).to_have_text(re.compile("^no answer"))
    page.select_option("#model", "multi_label")
    page.locator("#threshold").fill("0.05")
    page.click("#go")
    sync_api.expect(answer).not_to_have_text(re.compile("^no answer"))


@pytest.mark.parametrize(("width", "locale"), [(1200, "zh-CN"), (390, "en-US")])
def test_the_model_card_and_its_figures_are_shown(cascade, cascade_texts, serving, visit, width, locale):
    with serving(cascade) as client:
        page = visit(client, width=width, locale=locale)
        page.wait_for_selector("#model option", state="attached")
        assert "valid accuracy 0.9" in page.locator("#card").text_content()
        page.click("#whole-card summary")
        shown = page.locator("#card-text")
        assert shown.locator("h3").text_content() == "cascade of 2"
        assert ["Task", "single_label"] in [row.split("\t") for row in shown.locator("tr").all_inner_texts()]
        assert shown.locator("pre").text_content().startswith("yanmo evaluate")
        page.fill("#texts", "\n".join(cascade_texts))
        page.click("#go")
        page.wait_for_selector(f"#answers li:nth-child({len(cascade_texts)})")
        word = r"第 (\d) 级" if locale == "zh-CN" else r"stage (\d)"
        stages = {re.search(word, one)[1] for one in page.locator("#answers li").all_text_contents()}
        assert stages == {"1", "2"}
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shoot(page, f"card-{width}-{locale}")


def test_changed_inputs_are_said_also_where_the_metrics_are_on_another_port(cascade, serving, visit):
    with serving(cascade, admin_port=0) as client:
        page = visit(client)
        page.wait_for_selector("#model option", state="attached")
        page.wait_for_selector("#no-metrics:not([hidden])")
        assert page.locator("#changed").is_hidden()
        for _ in range(3):
            client.predict(texts=["一篇很长的文章" * 50] * 100)
        page.evaluate("watchInputs()")
        sync_api.expect(page.locator("#changed")).to_have_text(re.compile("^The inputs have changed"))
        page.reload()
        page.wait_for_selector("#changed:not([hidden])")
        page.goto("about:blank")
        page.messages[:] = [one for one in page.messages if "status of 404" not in one]


def test_a_key_is_asked_for_and_a_wrong_text_is_explained(bundles, serving, visit, tmp_path):
    file = tmp_path / "keys.toml"
    secret = yanmo.key(label="admin", file=file, may="admin").secret
    with serving(bundles["ngram"], api_keys=str(file), max_characters=10) as client:
        page = visit(client)
        page.wait_for_selector("#problem:not([hidden])")
        assert "API key" in page.locator("#problem").text_content()
        assert page.locator("#key").is_visible()
        page.fill("#key", secret)
        page.keyboard.press("Tab")
        page.wait_for_selector("#model option", state="attached")
        page.wait_for_selector("#metrics li")
        page.fill("#texts", "x" * 11)
        page.click("#go")
        sync_api.expect(page.locator("#problem")).to_have_text(re.compile("^A text is too long"))
        page.messages[:] = [one for one in page.messages if "status of 40" not in one]


def test_the_document_of_the_api_is_a_page(service, visit):
    page = visit(service, "/docs", width=390)
    page.wait_for_selector("section h2")
    headings = page.locator("h2").all_text_contents()
    assert {"POST /predict", "GET /readyz", "Answer", "ProblemBody"} <= set(headings)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shoot(page, "docs")
