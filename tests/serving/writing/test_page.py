"""The page of models that write, in a real browser: the text grows, tokens tell their probabilities, and it stops."""

import re
import threading

import pytest

from yanmo.runtimes.generating.decoder_session import DecoderSession

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.browser


@pytest.fixture
def slow(monkeypatch):
    step = DecoderSession.step

    def wait_and_step(self, *arguments):
        threading.Event().wait(0.05)
        return step(self, *arguments)

    monkeypatch.setattr(DecoderSession, "step", wait_and_step)


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
