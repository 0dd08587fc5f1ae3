"""Links of the pages lead somewhere, and Chinese pages say the same commands as the English ones."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

import pytest

LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
COMMENT = re.compile(r"(?:^|\s)+#.*$", re.MULTILINE)


@pytest.fixture(scope="module")
def pages(project_root):
    """The text of every page without its blocks of code, by its path."""
    found = [*project_root.glob("*.md"), *(project_root / "docs").rglob("*.md")]
    return {path: re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL) for path in found}


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


def test_every_guide_is_linked_from_another_page(pages, project_root):
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page, text in pages.items()
        for target in LINK.findall(text)
    }
    guides = [path for path in (project_root / "docs" / "guides").glob("*.md") if not path.name.endswith(".zh.md")]
    assert [path.name for path in guides if path not in linked] == []


def commands(text: str) -> list[str]:
    """Return a page's blocks of code without comments and trailing spaces."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    return [re.sub(r"[ \t]+$", "", COMMENT.sub("", block), flags=re.MULTILINE) for block in blocks]


@pytest.mark.parametrize(
    "name",
    [
        "README",
        *(
            f"docs/guides/{name}"
            for name in ("first-model", "serve-a-model", "compress-to-a-budget", "quantize-a-model")
        ),
    ],
)
def test_a_chinese_page_has_the_commands_of_the_english_one_and_its_parts(name, project_root):
    english, chinese = ((project_root / f"{name}{language}.md").read_text(encoding="utf-8") for language in ("", ".zh"))
    ours = commands(chinese)
    # The README's tree of the package is for those who work on it.
    theirs = [one for one in commands(english) if "├──" not in one]
    assert ours == theirs
    heads = [len(re.findall(r"^## ", text, re.MULTILINE)) for text in (chinese, english)]
    assert heads[0] == heads[1] - (name == "README")
    assert sum("\u4e00" <= one <= "\u9fff" for one in chinese) > 400
