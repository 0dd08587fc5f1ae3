"""Links of the pages lead somewhere, and Chinese pages say the same commands as the English ones."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
ENGLISH = [
    page
    for folder in ("guides", "concepts")
    for page in sorted((DOCS / folder).glob("*.md"))
    if not page.name.endswith(".zh.md")
]
"""The guides and the concepts."""
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
NUMBER = re.compile(r"(?<![A-Za-z\d])\d+(?:[.,]\d+)*")
BLOCK = re.compile(r"```.*?```", re.DOTALL)
COMMENT = re.compile(r"(?:^|\s)+#.*$", re.MULTILINE)


def in_chinese(page: Path) -> Path:
    """Return the place of a page's Chinese sister."""
    return page.with_suffix(".zh.md")


@pytest.fixture(scope="module")
def pages(project_root):
    """The text of every page without its blocks of code, by its path."""
    found = [*project_root.glob("*.md"), *(project_root / "docs").rglob("*.md")]
    return {path: BLOCK.sub("", path.read_text(encoding="utf-8")) for path in found}


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        kept = "".join(one for one in plain if one in " -_" or unicodedata.category(one)[0] in "LN")
        found.add(kept.replace(" ", "-"))
    return found


def test_every_link_between_pages_and_files_leads_somewhere(pages, project_root):
    broken = []
    for page, text in pages.items():
        for target in LINK.findall(text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = unquote(target).partition("#")
            file = (page.parent / path).resolve() if path else page
            is_there = file.exists() and file.is_relative_to(project_root)
            if not is_there or (anchor and anchor not in anchors(pages.get(file, ""))):
                broken.append(f"{page.relative_to(project_root)}: {target}")
    assert broken == []


def test_every_guide_and_concept_is_linked_from_another_page(pages):
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page, text in pages.items()
        for target in LINK.findall(text)
    }
    assert [page.name for page in [*ENGLISH, *map(in_chinese, ENGLISH)] if page not in linked] == []


def test_every_guide_and_concept_is_there_in_chinese():
    assert [page.name for page in ENGLISH if not in_chinese(page).exists()] == []


CHINESE = sorted(
    str(page.relative_to(ROOT)).removesuffix(".zh.md") for page in [*ROOT.glob("*.zh.md"), *DOCS.rglob("*.zh.md")]
)
"""The pages that are there in Chinese, too."""


def both(name: str) -> tuple[str, str]:
    """Return the text of an English page and of its Chinese sister."""
    page = ROOT / f"{name}.md"
    return page.read_text(encoding="utf-8"), in_chinese(page).read_text(encoding="utf-8")


def commands(text: str) -> list[str]:
    """Return a page's blocks of code without comments and trailing spaces."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    return [re.sub(r"[ \t]+$", "", COMMENT.sub("", block), flags=re.MULTILINE) for block in blocks]


def numbers(text: str) -> list[str]:
    """Return the numbers outside of code and addresses."""
    return NUMBER.findall(CODE.sub("", LINK.sub("", text)))


def facts(text: str) -> dict[str, object]:
    """Return what no translation changes: names in code, row by row of tables with the numbers, and what is linked."""
    prose = BLOCK.sub("", text)
    return {
        "names": set(CODE.findall(prose)),
        "rows": [sorted(CODE.findall(row) + numbers(row)) for row in prose.splitlines() if row.startswith("|")],
        "links": {re.sub(r"(?:\.zh)?\.md(?:#.*)?$", "", target) for target in LINK.findall(prose)},
    }


@pytest.mark.parametrize("name", CHINESE)
def test_a_chinese_page_has_the_commands_of_the_english_one_and_its_parts(name):
    english, chinese = both(name)
    # The README's tree of the package is for those who work on it.
    assert commands(chinese) == [one for one in commands(english) if "├──" not in one]
    heads = [len(re.findall(r"^## ", BLOCK.sub("", text), re.MULTILINE)) for text in (chinese, english)]
    assert heads[0] == heads[1] - (name == "README")
    plain = LINK.sub("", CODE.sub("", BLOCK.sub("", chinese)))
    assert len(re.findall("[\u4e00-\u9fff]", plain)) > len(re.findall("[A-Za-z]", plain))


@pytest.mark.parametrize("name", [name for name in CHINESE if name.startswith("docs/")])
def test_a_chinese_page_has_the_names_and_numbers_of_the_english_one(name):
    english, chinese = both(name)
    for kind, theirs in facts(english).items():
        assert facts(chinese)[kind] == theirs, kind
    # Chinese writes some numbers in digits that English spells out, such as months.
    assert set(numbers(BLOCK.sub("", english))) - set(numbers(BLOCK.sub("", chinese))) == set()


@pytest.mark.parametrize("name", CHINESE)
def test_a_chinese_page_leads_to_chinese_pages(name):
    chinese = BLOCK.sub("", both(name)[1])
    for words, target in re.findall(r"\[([^\]\n]*)\]\(([^)\s]+)\)", chinese):
        page = (ROOT / name).parent / target.partition("#")[0]
        assert words == "English" or page.name.endswith(".zh.md") or not in_chinese(page).exists(), target
