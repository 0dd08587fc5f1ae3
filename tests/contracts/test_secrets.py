"""What an error quotes: an address without what may be in it of credentials."""

from __future__ import annotations

import pytest

from yanmo.cli import main
from yanmo.errors import ConfigError, without_secrets


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("s3://KEY:SECRET@bucket/data", "s3://…@bucket/data"),
        ("m=s3:/KEY:SEC/RET@bucket/data is", "m=s3:/…@bucket/data is"),
        ("at 'http://user:pw@host:80/a@b', and", "at 'http://…@host:80/a@b', and"),
        ("https://host/file?signature=SECRET is", "https://host/file is"),
        ("models:/words@champion", "models:/words@champion"),
        ("models:/words@champion at http://user:pw@host", "models:/words@champion at http://…@host"),
        ("ray://host:6379 of a@b.org: why?", "ray://host:6379 of a@b.org: why?"),
    ],
)
def test_an_address_is_quoted_without_credentials(text, told):
    assert without_secrets(text) == told
    error = ConfigError(text, hint=text)
    assert str(error) == f"{told}\nhint: {told}"
    assert error.args == (told,)


@pytest.mark.parametrize(
    "words",
    [
        ["train", "s3://KEY:SECRET@bucket/data", "--model", "linear", "--out", "o"],
        ["pack", "none", "--out", "s3://KEY:SECRET@bucket/d.tar.gz"],
        ["serve", "m=s3://KEY:SECRET@bucket/d"],
    ],
)
def test_no_command_prints_them(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert "SECRET" not in capsys.readouterr().err
