"""The pages in a real browser: nothing is blocked, nothing runs, and a phone never scrolls sideways."""

import shutil

import pytest

from yanmo.reporting.grinding import render_grinding
from yanmo.reporting.pages import render_audit, render_benchmark, render_comparison, render_evaluation

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


PAGES = ["evaluation", "many labels", "comparison", "cascade", "audit", "benchmark", "grinding"]


@pytest.fixture(scope="module")
def reports(evaluation_report, comparison_report, cascade_report, audit_report, grinding_report):
    return {
        "evaluation": render_evaluation(evaluation_report),
        "comparison": render_comparison(comparison_report),
        "cascade": render_evaluation(cascade_report),
        "audit": render_audit(audit_report),
        "grinding": render_grinding(grinding_report),
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory, reports, grinding_report, make_evaluation, make_benchmark):
    folder = tmp_path_factory.mktemp("pages")
    many = make_evaluation(500, [f"一个很长的标签_{place}_with_a_long_name" for place in range(30)])
    pages = reports | {
        "long label": render_evaluation(make_evaluation(60, ["很长的标签" * 12, "short"])),
        "many labels": render_evaluation(many),
        "benchmark": render_benchmark(make_benchmark(["bert-onnx-int8", "textcnn-student"])),
        "evaluation in Chinese": render_evaluation({**many, "language": "zh"}),
        "grinding in Chinese": render_grinding({**grinding_report, "language": "zh"}),
    }
    for name, html in pages.items():
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1200, "light")])
def test_a_page_fits_and_is_silent(chromium, files, name, width, scheme):
    page = chromium.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    messages, requests = [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("dialog", lambda dialog: messages.append(dialog.message))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((files / f"{name}.html").as_uri())
    assert messages == []
    assert len(requests) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every(one => one.offsetWidth <= innerWidth)")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(22, 24, 27)" if scheme == "dark" else "rgb(255, 255, 255)")
    assert page.evaluate("[...document.querySelectorAll('svg')].every(one => one.getBoundingClientRect().width > 250)")
    page.close()


def test_a_long_label_does_not_push_its_scores_out_of_sight(chromium, files):
    page = chromium.new_page(viewport={"width": 1200, "height": 844})
    page.goto((files / "long label.html").as_uri())
    assert page.evaluate(
        "[...document.querySelectorAll('.wide')].every(one => one.offsetWidth <= one.parentNode.clientWidth)"
    )
    page.close()


BROKEN_WORDS = """() => {
  const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT), broken = [];
  for (let node; (node = walker.nextNode());) {
    if (node.parentElement.closest('svg, pre, code, td.text')) continue;
    for (const word of node.data.matchAll(/[\\x21-\\x7e]{2,24}/g)) {
      const range = document.createRange();
      range.setStart(node, word.index);
      range.setEnd(node, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map(one => Math.round(one.top)));
      // A hyphen and a slash are where a word may end a line.
      if (lines.size > 1 && !/[-/]/.test(word[0])) broken.push(word[0]);
    }
  }
  return broken;
}"""


@pytest.mark.parametrize("name", [*PAGES, "evaluation in Chinese", "grinding in Chinese"])
@pytest.mark.parametrize("width", [390, 1280])
def test_no_word_is_broken(chromium, files, name, width):
    page = chromium.new_page(viewport={"width": width, "height": 844})
    page.goto((files / f"{name}.html").as_uri())
    assert page.evaluate(BROKEN_WORDS) == []
    page.close()


@pytest.mark.parametrize("name", ["evaluation", "comparison", "cascade", "audit", "benchmark", "grinding"])
def test_tables_fit_a_screen(chromium, files, name):
    page = chromium.new_page(viewport={"width": 1280, "height": 844})
    page.goto((files / f"{name}.html").as_uri())
    assert (
        page.evaluate("[...document.querySelectorAll('table')].filter(one => one.offsetWidth > innerWidth - 32)") == []
    )
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every(one => one.scrollWidth <= one.clientWidth)")
    page.close()


def test_a_table_is_sorted_by_mouse_and_keyboard_and_says_how(chromium, files, comparison_report):
    page = chromium.new_page(viewport={"width": 1280, "height": 844})
    page.goto((files / "comparison.html").as_uri())
    shown = "[...document.querySelectorAll('tbody tr')].map(row => row.cells[0].firstChild.textContent)"
    sorted_by = "[...document.querySelectorAll('[aria-sort]')].map(one => [one.innerText, one.ariaSort])"
    as_it_came = [row["name"] for row in comparison_report["rows"]]
    assert page.evaluate(shown) == as_it_came
    page.get_by_role("button", name="texts/s").click()
    by_speed = sorted(comparison_report["rows"], key=lambda row: row["throughput_texts_per_second"])
    assert page.evaluate(shown) == [row["name"] for row in by_speed]
    assert page.evaluate(sorted_by) == [["texts/s", "ascending"]]
    page.keyboard.press("Enter")
    assert page.evaluate(shown) == [row["name"] for row in reversed(by_speed)]
    assert page.evaluate(sorted_by) == [["texts/s", "descending"]]
    page.get_by_role("button", name="behind the best").focus()
    page.keyboard.press("Space")
    # The best one is behind nobody: it has no value, and stands last.
    assert page.evaluate(shown) == [*as_it_came[:0:-1], as_it_came[0]]
    page.get_by_role("button", name="model", exact=True).click()
    assert page.evaluate(shown)[0] == "bert-4x312"
    page.close()


def test_the_legend_lies_beside_the_bars_and_no_name_on_another(chromium, files):
    page = chromium.new_page(viewport={"width": 1280, "height": 844})
    page.goto((files / "evaluation.html").as_uri())
    legend = page.evaluate("document.querySelector('#confidence-legend_1').getBoundingClientRect().bottom")
    bars = page.evaluate(
        """Math.min(...[...document.querySelectorAll('#confidence-axes_1 > [id*=patch]')].map(
             one => one.getBoundingClientRect().top))"""
    )
    assert legend <= bars
    page.goto((files / "grinding.html").as_uri())
    boxes = page.evaluate(
        """[...document.querySelectorAll('#latency_ms-axes_1 > g[id*=text] text')].map(one => {
          const box = one.getBoundingClientRect();
          return [box.left, box.top, box.right, box.bottom];
        })"""
    )
    assert len(boxes) == 4
    for place, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[place + 1 :]:
            assert left >= other[2] or other[0] >= right or top >= other[3] or other[1] >= bottom
    page.close()
