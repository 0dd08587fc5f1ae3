"""Stored measurements to one Markdown page; it measures nothing."""

import statistics
from collections.abc import Sequence

MEASURES = {"alone": "one text, ms", "batch": "32 texts, texts/s", "all": "all texts, texts/s"}
TITLES = {
    "base": "BERT-base shape (12 layers × 768), random weights",
    "small": "bert-4x312",
    "mixed": "Titles and reviews shuffled together, bert-4x312",
    "ngram": "ngram",
    "memory": "Peak memory of `yanmo predict` with the ngram Bundle",
}
NOTES = {
    "base": "Ratios: yanmo's speed against the engine's, in the same round; the median of the rounds, their range in "
    "brackets. Above 1 yanmo is faster.",
    "mixed": "Texts as they arrive: what sorting by length and a token budget are worth. The last two are plain "
    "onnxruntime, 32 texts at a time, sorted by length or as they come.",
    "memory": "The file is CSV with that many different texts. Windows and queues are full some time after 100,000.",
}


def page(results: dict, machine: dict[str, object], versions: dict[str, str], command: str, when: str) -> str:
    """Return the page of everything that was measured."""
    facts = "\n".join(f"- {key.replace('_', ' ')}: {value}" for key, value in machine.items())
    parts = [
        f"# Engines on the same texts\n\n{facts}\n- versions: {', '.join(f'{k} {v}' for k, v in versions.items())}\n"
        f"- date: {when}\n- command: `{command}`\n\n"
        "Every engine gets the same titles of the thucnews_titles test set, raw: tokenizing is included. Each runs\n"
        "in a process of its own with the same number of threads on the same cores and is stopped (SIGSTOP) while\n"
        "another is measured; they take turns, medians count. Services answer one text a request over HTTP on\n"
        "127.0.0.1. A turn on the test set takes as many of its texts, evenly spaced, as fit into a few seconds.\n"
    ]
    for name, title in TITLES.items():
        if name in results:
            parts.append(f"\n## {title}\n\n{_section(name, results[name])}")
            parts.append(f"\n{NOTES[name]}\n" if name in NOTES else "")
    return "".join(parts)


def _section(name: str, section: dict) -> str:
    return _memory(section) if name == "memory" else _engines(section)


def _engines(section: dict) -> str:
    rows = section["rows"]
    measures = {key: text for key, text in MEASURES.items() if any(key in row for row in rows.values())}
    has_labels = any("agrees" in row for row in rows.values())
    compared = [key for key in measures if any(f"{key}_ratio" in row for row in rows.values())]
    head = ["engine", *measures.values(), *(f"yanmo ×, {MEASURES[key].split(',')[0]}" for key in compared)]
    head += ["same label"] if has_labels else []
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for engine, row in rows.items():
        if "state" in row:
            lines.append(f"| {engine} | {row['state']} {'| ' * (len(head) - 1)}|")
            continue
        cells = [_value(row, key) for key in measures]
        cells += [_ratio(row.get(f"{key}_ratio")) for key in compared]
        cells += [f"{row['agrees']:.2%}" if "agrees" in row else ""] if has_labels else []
        lines.append(f"| {engine} | {' | '.join(cells)} |")
    loads = ", ".join(f"{load:.1f}" for load in section["load"])
    return "\n".join(lines) + f"\n\nThreads: {section['threads']}; load average before: {loads}.\n"


def _value(row: dict, key: str) -> str:
    """Return the median of the rounds, and their range."""
    values = row.get(key)
    if not values:
        return ""
    shape = "{:.2f}" if key == "alone" else "{:,.0f}"
    low, middle, high = (shape.format(one) for one in (min(values), statistics.median(values), max(values)))
    texts = f"; {row['num_texts']:,} texts" if key == "all" else ""
    return f"**{middle}** ({low} – {high}{texts})"


def _ratio(values: Sequence[float] | None) -> str:
    if not values:
        return ""
    return f"**{statistics.median(values):.2f}** [{min(values):.2f} – {max(values):.2f}]"


def _memory(section: dict) -> str:
    lines = ["| texts | peak memory | seconds |", "|---|---|---|"]
    lines += [
        f"| {row['num_texts']:,} | {row['peak_mb']:,.0f} MB | {row['seconds']:.1f} |"
        for row in section["rows"].values()
    ]
    return "\n".join(lines) + "\n"
