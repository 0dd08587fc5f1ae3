"""A Bundle means the same everywhere: alone, in any batch, in predict, over HTTP, and after export."""

import functools
import json
import re
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import yanmo

TOLERANCE = 1e-5
GOOD = ["很快，好吃", "great food, quick rider", "味道不错，下次还来", "warm and tasty, thank you"]
BAD = ["送得太慢了", "cold rice again", "菜都凉了，难吃", "late & rude, never again"]
MODELS = {
    "ngram": {"num_epochs": 5},
    "linear": {},
    "textcnn": {"num_epochs": 1},
    "bilstm": {"num_epochs": 1},
    "bert-1x32": {"num_epochs": 1},
}
COMPOSITES = ("ensemble", "cascade", "calibrated")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("one_answer")


@pytest.fixture(scope="module")
def reviews(folder):
    rows = [
        f"{text} {number},{label}"
        for number in range(12)
        for label, texts in (("1", GOOD), ("0", BAD))
        for text in texts
    ]
    file = folder / "reviews.jsonl"
    lines = [json.dumps({"text": row.rsplit(",", 1)[0], "label": row.rsplit(",", 1)[1]}) for row in rows]
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def dataset(folder, reviews):
    return yanmo.prepare(reviews, cleaning=("strip_html", "unicode_nfkc", "collapse_whitespace"), out=folder / "data")


@pytest.fixture(scope="module")
def trained(dataset, folder):
    """Return what gives the Bundle of a model; each is trained once."""
    return functools.cache(lambda model: yanmo.train(dataset, model=model, out=folder / model, **MODELS[model]))


def make_composite(kind, dataset, trained, folder):
    """Make an ensemble, a cascade into one, or a calibrated Bundle of two small models."""
    small = [trained(name) for name in ("linear", "ngram")]
    if kind == "calibrated":
        return yanmo.calibrate(small[0], dataset, method="vector", out=folder / kind)
    whole = yanmo.ensemble(dataset, small, out=folder / f"{kind}-ensemble")
    if kind == "ensemble":
        return whole
    options = {"alpha": 0.4, "delta": 0.4, "costs": (1.0, 2.0)}
    return yanmo.cascade(dataset, [small[0], whole], **options, out=folder / kind)


@pytest.fixture(scope="module", params=[*MODELS, *COMPOSITES])
def bundle(request, dataset, trained, folder):
    if request.param in COMPOSITES:
        return make_composite(request.param, dataset, trained, folder)
    return trained(request.param)


@pytest.fixture(scope="module")
def texts():
    texts = [*GOOD, *BAD, "", "好", "<b>cold</b> &amp; late", "ＦＵＬＬ ｗｉｄｔｈ", "😀", "很" * 300, "a b " * 100]
    return [texts[place] for place in np.random.default_rng(1).permutation(len(texts))]


@pytest.fixture(scope="module")
def expected_NC(bundle, texts):
    with yanmo.load(bundle) as predictor:
        return np.concatenate([predictor.predict_proba([text]) for text in texts])


def close(found_NC, expected_NC):
    np.testing.assert_allclose(found_NC, expected_NC, rtol=0, atol=TOLERANCE)


def test_in_any_batch(bundle, texts, expected_NC):
    with yanmo.load(bundle) as predictor:
        close(predictor.predict_proba(texts), expected_NC)
        close(predictor.predict_proba(texts[::-1])[::-1], expected_NC)


def test_through_predict(bundle, texts, expected_NC, tmp_path):
    file = tmp_path / "texts.jsonl"
    file.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    predictions = yanmo.predict(bundle, file, out=tmp_path / "predictions")
    close(predictions.probabilities_NC, expected_NC)


def test_after_export(bundle, texts, expected_NC, tmp_path):
    if bundle.format != "torch":
        with pytest.raises(yanmo.YanmoError, match="without torch|the Bundle of one model"):
            yanmo.export(bundle, out=tmp_path / "exported")
        return
    with yanmo.load(yanmo.export(bundle, out=tmp_path / "exported")) as predictor:
        close(predictor.predict_proba(texts), expected_NC)


def test_through_http(bundle, texts, expected_NC):
    command = [sys.executable, "-m", "yanmo", "serve", str(bundle.path), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8") as server:
        try:
            url = next(match[0] for line in server.stderr if (match := re.search(r"http://[\d.:]+", line)))
            close(ask(url, {"texts": texts}), expected_NC)
            with ThreadPoolExecutor(8) as pool:
                together = list(pool.map(lambda text: ask(url, {"text": text}), texts))
            close(np.concatenate(together), expected_NC)
        finally:
            server.terminate()
    assert server.returncode == 0


def ask(url, question):
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{url}/predict", json.dumps(question).encode(), headers)
    for _ in range(200):
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                answer = json.load(response)
            break
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != 503:  # it still loads
                raise
    rows = answer.get("predictions", [answer])
    return np.array([list(row["probabilities"].values()) for row in rows], dtype=np.float32)
