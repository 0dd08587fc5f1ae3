"""The pages in a real browser, against the running service: what a person does, on a screen and on a phone."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

import yanmo
from yanmo.verbs.adjust import adjust

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.browser
JSON = {"content-type": "application/json"}
BOXES = ".map(one => ({left: one.x, right: one.x + one.width}))"
SHOTS = os.environ.get("YANMO_SCREENSHOTS")
"""A folder for pictures to look at."""


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
    assert page.evaluate("Object.values(WORDS).filter(text => !(text in CHINESE))") == []
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
        measured, task = ("验证集准确率", "任务") if locale == "zh-CN" else ("valid accuracy", "Task")
        assert f"{measured} 0.9" in page.locator("#card").text_content()
        page.click("#whole-card summary")
        shown = page.locator("#card-text")
        assert shown.locator("h3").text_content() == "cascade of 2"
        assert [task, "single_label"] in [row.split("\t") for row in shown.locator("tr").all_inner_texts()]
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


BROKEN_WORDS = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), broken = [];
  for (let node; (node = walker.nextNode());) {
    if (node.parentElement.closest('svg, pre, code, script, textarea, .asked')) continue;
    for (const word of node.data.matchAll(/[\\x21-\\x7e]{2,32}/g)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map(one => Math.round(one.top)));
      if (lines.size > 1 && !/[-/]/.test(word[0])) broken.push(word[0]);
    }
  }
  return broken;
}"""
"""Words that go on in the next line; a hyphen and a slash are where one may end a line."""


@pytest.fixture(scope="module")
def many_labels(make_bundle, serving, tmp_path_factory):
    labels = [f"reason_{place:02}_with_a_long_name" for place in range(77)]
    bundle = make_bundle(tmp_path_factory.mktemp("many") / "many", task="single_label", model="ngram", labels=labels)
    with serving(bundle) as client:
        yield client, labels


@pytest.mark.parametrize("width", [390, 1280])
def test_all_of_many_labels_can_be_seen_and_no_word_is_broken(many_labels, visit, width):
    client, labels = many_labels
    page = visit(client, width=width)
    page.wait_for_selector("#examples button")
    page.fill("#texts", "很快，好吃")
    page.click("#go")
    shown = page.locator("#answers li").first
    sync_api.expect(shown.locator(".track")).to_have_count(8)
    shown.get_by_role("button", name="Show all 77 labels").click()
    shares = client.predict(text="很快，好吃").json["probabilities"]
    named = shown.locator(".bars > span:nth-child(3n+1)").all_text_contents()
    assert named == sorted(shares, key=lambda name: -shares[name])
    assert page.evaluate("document.activeElement.textContent") == "Show fewer"
    assert page.evaluate(BROKEN_WORDS) == []
    page.keyboard.press("Enter")
    sync_api.expect(shown.locator(".track")).to_have_count(8)
    card = page.locator("#card")
    assert labels[-1] not in card.text_content()
    card.get_by_role("button", name="Show all 77 labels").click()
    assert all(label in card.text_content() for label in labels)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shoot(page, f"labels-{width}")


def test_examples_fill_the_field_in_the_readers_language(service, visit):
    for locale, beginning in (("en-US", "When will"), ("zh-CN", "什么时候")):
        page = visit(service, locale=locale)
        page.wait_for_selector("#examples button")
        page.locator("#examples button").nth(0).click()
        page.locator("#examples button").nth(1).click()
        lines = page.locator("#texts").input_value().split("\n")
        assert lines == page.locator("#examples button").all_text_contents()[:2]
        assert lines[0].startswith(beginning)
    page.select_option("#model", "text_pair")
    page.fill("#texts", "")
    page.locator("#examples button").nth(0).click()
    page.click("#go")
    page.wait_for_selector("#answers li")
    assert page.locator("#answers .asked").text_content().count("\n") == 1


def test_more_lines_than_the_service_takes_at_once_are_asked_in_parts(service, visit):
    page = visit(service)
    page.wait_for_selector("#examples button")
    page.evaluate("$('texts').value = Array.from({ length: 1500 }, (_, place) => `text ${place}`).join('\\n')")
    page.click("#go")
    page.wait_for_selector("#answers li:nth-child(1500)", state="attached")
    assert page.locator("#answers li").nth(1499).locator(".asked").text_content() == "text 1499"
    assert page.locator("#times").text_content().startswith("Took ")


def test_a_file_with_semicolons_keeps_them(service, visit, tmp_path):
    file = tmp_path / "in.csv"
    file.write_text('"a,b";text\n1;"gut; schnell"\n2;so, so\n', encoding="utf-8")
    page = visit(service)
    page.wait_for_selector("#examples button")
    page.set_input_files("#csv", file)
    sync_api.expect(page.locator("#column")).to_have_value("text")
    page.click("#run")
    with page.expect_download() as download:
        page.click("#download")
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    got = list(csv.reader(io.StringIO(text, newline=""), delimiter=";"))
    assert [row[:2] for row in got] == [["a,b", "text"], ["1", "gut; schnell"], ["2", "so, so"]]
    assert got[1][2] == service.predict(text="gut; schnell").json["prediction"]


@pytest.mark.parametrize(
    ("width", "scheme", "locale"), [(390, "light", "en-US"), (1280, "dark", "en-US"), (390, "dark", "zh-CN")]
)
def test_the_document_of_the_api_is_a_page(service, visit, width, scheme, locale):
    page = visit(service, "/docs", width=width, scheme=scheme, locale=locale)
    page.wait_for_selector("#types")
    assert {"POST /predict", "GET /readyz"} <= set(page.locator("h2").all_text_contents())
    assert {"Answer", "ProblemBody"} <= set(page.locator("h3").all_text_contents())
    assert "needs a key" not in page.locator("main").text_content()
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.evaluate(BROKEN_WORDS) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids))
    targets = page.evaluate("[...document.querySelectorAll('nav a')].map(one => one.hash.slice(1))")
    assert set(targets) <= set(ids)
    shoot(page, f"docs-{width}-{scheme}-{locale}")


def test_the_document_is_read_in_chinese_and_again_in_english(service, visit):
    page = visit(service, "/docs", locale="zh-CN")
    page.wait_for_selector("#types")
    assert page.get_attribute("html", "lang") == "zh-CN"
    section = page.locator("section", has=page.get_by_role("heading", name="POST /predict", exact=True))
    assert "询问第一个模型。" in section.text_content()
    section.get_by_role("button", name="试一试").click()
    sync_api.expect(section.locator(".answer")).to_have_text(re.compile("^200"))
    # What a person reads there is Chinese, but for names, types and codes: no sentence is left in English.
    sentences = page.evaluate("[...document.querySelectorAll('main p, main td')].map(one => one.textContent)")
    assert [one for one in sentences if re.search(r"[a-z]{2,} [a-z]{2,} [a-z]{2,}[^`]*\.$", one)] == []
    page.click("#language")
    sync_api.expect(page.locator("#types")).to_have_text("Types")
    assert page.get_attribute("html", "lang") == "en"


def test_a_problem_is_told_in_the_language_of_the_page(service, visit):
    page = visit(service, locale="zh-CN")
    page.wait_for_selector("#model option", state="attached")
    page.fill("#texts", "x" * 20_001)
    page.click("#go")
    sync_api.expect(page.locator("#problem")).to_have_text(re.compile("^有一条文本太长。"))
    page.click("#language")
    page.click("#go")
    sync_api.expect(page.locator("#problem")).to_have_text(re.compile("^A text is too long"))
    page.messages[:] = [one for one in page.messages if "status of 40" not in one]


def test_every_route_has_a_command_and_is_tried_on_the_page(service, visit):
    page = visit(service, "/docs")
    page.wait_for_selector("#types")
    document, digest = service.get("/openapi.json").json, service.get("/v1/models").json["models"][0]["digest"]
    routes = [f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods]
    for route in routes:
        section = page.locator("section", has=page.get_by_role("heading", name=route, exact=True))
        curl = section.get_by_label("command").text_content()
        path = route.partition(" ")[2].replace("{name}", "ngram").replace("{version}", digest)
        assert curl.startswith(f"curl 'http://127.0.0.1:{service.port}{path}'"), route
        section.get_by_role("button", name="Try it").click()
        # Nothing is reloaded: this service has no folder of models.
        status = "400 Bad Request" if path.startswith("/admin/") else "200 OK"
        sync_api.expect(section.locator(".answer")).to_have_text(re.compile(f"^{status}"))
    page.messages[:] = [one for one in page.messages if "status of 400" not in one]


def test_every_example_of_the_page_is_answered_also_by_a_model_of_pairs(bundles, serving, visit):
    with serving(bundles["text_pair"]) as client:
        page = visit(client, "/docs")
        page.wait_for_selector("#types")
        section = page.locator("section", has=page.get_by_role("heading", name="POST /predict", exact=True))
        assert section.get_by_label("example").locator("option").count() == 2
        for place in range(2):
            section.get_by_label("example").select_option(index=place)
            assert "text_b" in section.get_by_label("command").text_content().replace("texts_b", "text_b")
            section.get_by_role("button", name="Try it").click()
            sync_api.expect(section.locator(".answer")).to_have_text(re.compile("^200 OK"))


def test_a_command_runs_in_a_shell_as_it_stands(service, visit):
    page = visit(service, "/docs")
    page.wait_for_selector("#types")
    section = page.locator("section", has=page.get_by_role("heading", name="POST /predict", exact=True))
    section.get_by_label("body").fill('{"text": "it\'s \\"fine\\""}')
    command = section.get_by_label("command").text_content()
    done = subprocess.run(["sh", "-c", f"{command} --silent"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == service.predict(text='it\'s "fine"').json


def test_the_page_of_the_api_says_where_a_key_is_needed_and_takes_one(bundles, serving, visit, tmp_path):
    file = tmp_path / "keys.toml"
    secret = yanmo.key(label="web", file=file).secret
    with serving(bundles["ngram"], api_keys=str(file)) as client:
        page = visit(client, "/docs")
        page.wait_for_selector("#types")

        def section(route):
            return page.locator("section", has=page.get_by_role("heading", name=route, exact=True))

        assert "It needs a key." not in section("GET /readyz").text_content()
        asked = section("POST /predict")
        assert "It needs a key." in asked.text_content()
        assert "-H 'authorization: Bearer YOUR_KEY'" in asked.get_by_label("command").text_content()
        page.fill("#key", secret)
        page.keyboard.press("Enter")
        asked.get_by_role("button", name="Try it").click()
        sync_api.expect(asked.locator(".answer")).to_have_text(re.compile("^200 OK"))


@pytest.mark.parametrize(("width", "scheme", "locale"), [(1280, "light", "en-US"), (390, "dark", "zh-CN")])
def test_names_are_marked_where_they_stand_and_copied_as_json(taggers, visit, width, scheme, locale):
    page = visit(taggers, width=width, scheme=scheme, locale=locale)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.wait_for_selector("#examples button")
    # Beyond the first 65,536 characters two units of JavaScript are one character.
    text = "😀👍 Anna went to Rome. <b>小明</b>去武汉。"
    page.fill("#texts", f"{text}\nit is fine")
    page.click("#go")
    page.wait_for_selector("#answers li:nth-child(2)")
    answer = taggers.predict(text=text).json
    assert {"Anna", "Rome", "武汉"} <= {one["word"] for one in answer["entities"]}
    shown = page.locator("#answers li").first
    marks = shown.locator("mark")
    kinds = [one["entity_group"] for one in answer["entities"]]
    assert marks.locator(".tag").all_text_contents() == kinds
    assert len(set(marks.evaluate_all("all => all.map(one => one.className)"))) == len(set(kinds))
    shown.evaluate("item => item.querySelectorAll('.tag').forEach(one => { one.hidden = true; })")
    assert marks.evaluate_all("all => all.map(one => one.firstChild.data)") == [x["word"] for x in answer["entities"]]
    assert shown.locator(".marked").inner_text() == text
    assert shown.locator(".track").count() == len(kinds)
    shown.get_by_role("button").click()
    sync_api.expect(shown.get_by_role("button")).to_have_text("已复制" if locale == "zh-CN" else "Copied")
    copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert copied == {"text": text, "entities": answer["entities"]}
    empty = page.locator("#answers li").nth(1)
    assert empty.locator("mark").count() == 0
    assert empty.locator(".soft").first.text_content() == ("没有找到" if locale == "zh-CN" else "nothing found")
    assert page.locator("#card").text_content().count("person") == 1, "kinds, and not their tags"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.reload()
    page.wait_for_selector("#examples button")
    page.fill("#texts", text)
    page.click("#go")
    page.wait_for_selector("mark")
    shoot(page, f"names-{width}-{scheme}")


def test_what_a_rule_has_found_says_so(taggers, serving, visit, tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nlabel = "place"\npattern = "X\\\\d+"\n', encoding="utf-8")
    ruled = adjust(taggers.service.default.bundle, rules=rules, out=tmp_path / "ruled")
    with serving(ruled) as client:
        page = visit(client)
        page.wait_for_selector("#examples button")
        page.fill("#texts", "Anna went to X27.")
        page.click("#go")
        page.wait_for_selector("mark")
        named = page.locator(".bars > span:nth-child(3n+1)").all_text_contents()
        assert "X27 · place · rule" in named
        assert "Anna · person" in named


def test_without_a_clipboard_the_old_way_copies(taggers, visit):
    page = visit(taggers)
    page.wait_for_selector("#examples button")
    page.fill("#texts", "Anna went to Rome.")
    page.click("#go")
    page.wait_for_selector("mark")
    page.evaluate(
        """() => {
        Object.defineProperty(navigator, 'clipboard', { value: undefined });
        document.addEventListener('copy', () => { window.copied = document.activeElement.value; });
        }"""
    )
    page.locator("#answers").get_by_role("button").click()
    sync_api.expect(page.locator("#answers").get_by_role("button")).to_have_text("Copied")
    assert json.loads(page.evaluate("window.copied"))["text"] == "Anna went to Rome."
    assert page.locator("textarea").count() == 1


def test_words_stand_side_by_side(taggers, visit):
    page = visit(taggers, width=390)
    page.wait_for_selector("#examples button")
    page.select_option("#model", "words")
    text = "小明 去武汉"
    page.fill("#texts", text)
    page.click("#go")
    page.wait_for_selector(".word")
    found = taggers.ask("POST", "/v1/models/words/predict", json.dumps({"text": text}).encode(), JSON).json
    assert page.locator(".word").all_text_contents() == [one["word"] for one in found["entities"]]
    assert page.locator("#answers mark, #answers .track").count() == 0
    assert "word" in page.locator(".word").first.get_attribute("title")
    assert "1: word" in page.locator("#card").text_content()
    shoot(page, "words-390")


def test_a_file_comes_back_with_what_was_found(taggers, visit, tmp_path):
    file = tmp_path / "in.csv"
    file.write_text("text\nAnna went to Rome.\nit is fine\n", encoding="utf-8")
    page = visit(taggers)
    page.wait_for_selector("#examples button")
    found = {}
    for name in ("names", "words"):
        page.select_option("#model", name)
        page.set_input_files("#csv", file)
        sync_api.expect(page.locator("#download")).to_be_hidden()
        page.click("#run")
        with page.expect_download() as download:
            page.click("#download")
        text = Path(download.value.path()).read_text(encoding="utf-8-sig")
        found[name] = [row["prediction"] for row in csv.DictReader(io.StringIO(text, newline=""))]
        page.set_input_files("#csv", [])
    answer = taggers.predict(texts=["Anna went to Rome.", "it is fine"]).json["predictions"]
    assert [json.loads(cell) for cell in found["names"]] == [one["entities"] for one in answer]
    assert "".join(found["words"][0].split()) == "AnnawenttoRome."


CONTRAST = """() => {
  const light = ([red, green, blue]) => [red, green, blue]
    .map(one => one / 255).map(one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
  const color = (element, name) => light(getComputedStyle(element)[name].match(/[\\d.]+/g).map(Number));
  const ratio = (one, other) => (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  return Array.from({ length: NUM_COLORS }, (_, place) => {
    const mark = make('mark', 'a', `kind-${place}`), tag = make('span', 'b', 'tag');
    mark.append(tag);
    document.querySelector('main').append(mark);
    const ground = color(mark, 'backgroundColor');
    const ratios = [mark, tag].map(one => ratio(ground, color(one, 'color')));
    return [getComputedStyle(mark).backgroundColor, ...ratios];
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_color_of_a_mark_can_be_read(service, visit, scheme):
    page = visit(service, scheme=scheme)
    found = page.evaluate(CONTRAST)
    assert len({ground for ground, _, _ in found}) == len(found) == 8
    # Of the Web Content Accessibility Guidelines, level AA, for small letters.
    assert min(min(ratios) for _, *ratios in found) >= 4.5


@pytest.fixture(scope="module")
def parsers(serving, tmp_path_factory, project_root):
    """A service of a model of trees."""
    folder = tmp_path_factory.mktemp("parsers")
    source = project_root / "examples" / "sentences" / "sentences.conllu"
    data = yanmo.prepare(source, out=folder / "data", task="dependencies")
    with serving(yanmo.train(data, model="arcs", num_epochs=1, out=folder / "arcs")) as client:
        yield client


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_a_tree_is_drawn_over_its_words_and_copied_as_json(parsers, visit, width, scheme):
    text = "The courier opened the new <b>box</b> ."
    page = visit(parsers, width=width, scheme=scheme)
    page.wait_for_selector("#model option", state="attached")
    page.fill("#texts", text)
    page.click("#go")
    page.wait_for_selector("svg.tree")
    words = parsers.predict(text=text).json["words"]
    assert page.locator("svg.tree > text").all_text_contents() == [one["word"] for one in words]
    assert page.locator("svg.tree text.relation").all_text_contents() == [one["relation"] for one in words]
    # The words stand side by side, and no arc is cut off above them.
    boxes = page.evaluate("[...document.querySelectorAll('svg.tree > text')].map(one => one.getBBox())" + BOXES)
    assert all(one["right"] <= other["left"] for one, other in itertools.pairwise(boxes))
    assert page.evaluate("document.querySelector('svg.tree').getBBox().y") >= 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shoot(page, f"tree-{width}-{scheme}")


@pytest.fixture(scope="module")
def speakers(serving, tmp_path_factory, project_root):
    """A service of a model that writes texts for others."""
    folder = tmp_path_factory.mktemp("speakers")
    source = project_root / "examples" / "spoken" / "spoken.tsv"
    data = yanmo.prepare(source, out=folder / "data", task="text_to_text", target_separator="|")
    with serving(yanmo.train(data, model="pairs", out=folder / "pairs")) as client:
        yield client


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_what_is_written_stands_beside_its_text_with_other_candidates(speakers, visit, width, scheme):
    page = visit(speakers, width=width, scheme=scheme)
    page.wait_for_selector("#model option", state="attached")
    page.fill("#texts", "6月13日\n<b>Thornham</b>")
    page.click("#go")
    page.wait_for_selector(".beside")
    answers = speakers.predict(texts=["6月13日", "<b>Thornham</b>"], top_k=8).json["predictions"]
    assert page.locator(".beside .asked").all_text_contents() == ["6月13日", "<b>Thornham</b>"]
    assert page.locator(".beside .written").all_text_contents() == [one["prediction"] for one in answers]
    shown = page.locator("#answers > li").first.locator(".bars > span:nth-child(3n+1)").all_text_contents()
    assert shown == [one["text"] for one in answers[0]["candidates"]]
    asked, written = (page.locator(f".beside .{name}").first.bounding_box() for name in ("asked", "written"))
    assert (asked["x"] + asked["width"] <= written["x"]) == (width > 600)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shoot(page, f"written-{width}-{scheme}")
