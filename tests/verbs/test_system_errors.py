"""What the operating system refuses is the user's to change, but for processes of ours that lose each other."""

import errno
from pathlib import Path

import pytest

from yanmo.errors import ArtifactError, ConfigError, DataError, InternalError
from yanmo.verbs.system_errors import system_errors

FULL = "No space left on device"


@pytest.mark.parametrize(
    ("error", "out", "kind", "message"),
    [
        (OSError(errno.ENOSPC, FULL), "new", ArtifactError, f"Cannot write new: {FULL}."),
        (OSError(errno.ENOSPC, FULL, ".new.partial/x"), "new", ArtifactError, f"Cannot write new: {FULL}."),
        (OSError(errno.ENOSPC, FULL, "new"), Path("new"), ArtifactError, f"Cannot write new: {FULL}."),
        (OSError(errno.EACCES, "", "a/x"), "new", DataError, "Cannot use a/x: Permission denied."),
        (OSError(errno.ENAMETOOLONG, "", b"x"), None, DataError, "Cannot use x: File name too long."),
        (OSError(errno.EIO, ""), None, DataError, "The operating system refuses it: Input/output error."),
        (RuntimeError("it failed (os error 28)"), "new", ArtifactError, f"Cannot write new: {FULL}."),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "new", InternalError, "BrokenPipeError: [Errno 32] Broken pipe."),
    ],
)
def test_an_error_of_the_system_says_what_cannot_be_used(error, out, kind, message):
    with pytest.raises(kind) as told, system_errors(out):
        raise error
    assert told.value.message == message
    assert told.value.hint
    assert told.value.__cause__ is error


@pytest.mark.parametrize("error", [ValueError("no number"), OSError("no number either"), ConfigError("said already")])
def test_other_errors_are_left_as_they_are(error):
    with pytest.raises(type(error)) as told, system_errors("new"):
        raise error
    assert told.value is error
