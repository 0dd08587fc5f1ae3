"""The page of models that write, in a real browser: the text grows, tokens tell their probabilities, and it stops."""

import re
import threading

import pytest

from yanmo.runtimes.encoder_decoder_torch import TorchDrafts
from yanmo.runtimes.generating.decoder_session import DecoderSession

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.browser


@pytest.fixture
def slow(monkeypatch):
    """Each step takes some milliseconds, until the event is set."""
    is_fast = threading.Event()
    for kind in (DecoderSession, TorchDrafts):
        monkeypatch.setattr(kind, "step", slowed(kind.step, is_fast))
    return is_fast


def slowed(step, is_fast):
    def wait_and_step(self, *arguments):
        is_fast.wait(0.05)
        return step(self, *arguments)

    return wait_and_step


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(("width", "locale"), [(1200, "en-US"), (390, "zh-CN")])
def test_a_text_grows_until_it_is_stopped(decoder_bundle, serving, visit, wait, width, locale):
    with serving(decoder_bundle, num_threads=1) as client:
        page = visit(client, width=width, locale=locale)
        # All models of the service write, so its first page is this one.
        page.wait_for_url("**/write")
        page.wait_for_selector("#model option", state="attached")
        page.fill("#prompt", "the cat")
        page.fill("#length", "60")
        page.fill("#seed", "1")
        page.click("#go")
        page.wait_for_selector("#written .token:nth-child(4)")
        begun = page.locator("#written").text_content()
        page.wait_for_selector("#written .token:nth-child(8)")
        assert page.locator("#written").text_content().startswith(begun)
        assert re.match(r"[0-9.e-]+ %\n", page.locator("#written .token").first.get_attribute("title"))
        page.click("#stop")
        page.wait_for_selector("#told:not([hidden])")
        assert page.locator("#told").text_content().endswith("已停止" if locale == "zh-CN" else "stopped")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        (model,) = client.service.writers.values()
        wait(lambda: model.num_rows == 0, 2)
        page.fill("#prompt", "the dog")
        page.keyboard.press("Control+Enter")
        sync_api.expect(page.locator("#written")).to_contain_text("the dog")


def test_what_is_wrong_is_said(decoder_bundle, bundles, serving, visit):
    with serving(decoder_bundle, bundles["ngram"], num_threads=1) as client:
        page = visit(client)
        page.click("#writers")
        page.wait_for_selector("#model option", state="attached")
        assert page.locator("#labelers").is_visible()
        page.fill("#prompt", "x" * 100)
        page.click("#go")
        page.wait_for_selector("#problem:not([hidden])")
        assert "longer than the model reads" in page.locator("#problem").text_content()
        # The browser itself notes the status.
        page.messages[:] = [one for one in page.messages if "status of 400" not in one]


def test_what_is_written_for_texts_grows_beside_them(torch_teller, serving, visit, wait, slow):
    slow.set()
    with serving(torch_teller, num_threads=1) as client:
        slow.clear()
        page = visit(client, width=390, locale="zh-CN")
        page.wait_for_selector("#model option", state="attached")
        page.fill("#texts", "the cat\na dog")
        page.click("#go")
        written = page.locator(".beside .written")
        wait(lambda: len(written.first.text_content()) > 2)
        begun = written.first.text_content()
        wait(lambda: len(written.first.text_content()) > len(begun) + 2)
        assert written.first.text_content().startswith(begun)
        page.click("#stop")
        page.wait_for_selector("#go:not([disabled])")
        stopped = page.locator("#answers > li > .soft").all_text_contents()
        assert stopped == ["已停止"] * 2
        assert page.locator("#problem").is_hidden()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        slow.set()
        # Another one is written to its end, and is then shown as every answer.
        page.fill("#texts", "the cat")
        page.keyboard.press("Control+Enter")
        page.wait_for_selector("#answers li button")
        assert written.all_text_contents() == [client.predict(text="the cat").json["prediction"]]
        assert page.locator("#stop").is_disabled()
