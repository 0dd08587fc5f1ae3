"""The texts of the benchmarks, one a line: ``python -m peers.texts DATASET FOLDER`` writes test.txt and mixed.txt."""

import sys
from pathlib import Path

from peers.models import shuffled, write_texts


def main() -> int:
    """Write the test set of the titles, made from YANMO_DATA on first use, and it shuffled with the waimai reviews."""
    import accuracy

    import yanmo

    path, folder = Path(sys.argv[1]), Path(sys.argv[2])
    dataset = yanmo.Dataset.open(path if path.exists() else accuracy.prepared("thucnews_titles"), verify=False)
    titles = dataset.split("test")["text"].to_list()
    write_texts(folder / "test.txt", titles)
    if (accuracy.DATA / "waimai_10k").is_dir():
        reviews = yanmo.Dataset.open(accuracy.prepared("waimai_10k"), verify=False)
        texts = [text for name in reviews.splits for text in reviews.split(name)["text"].to_list()]
        write_texts(folder / "mixed.txt", shuffled([*titles, *texts]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
