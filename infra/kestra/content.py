"""Texts and files as properties of resources."""

import re
from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path

from pulumi.output import Unknown

# Marks binary content, and text that starts with the mark itself.
_BASE64 = "base64:"
# The state keeps contents whole, and Pulumi copies it again and again: 30 MB take minutes.
_LARGEST_MB = 5
# What java.net.URI, which Kestra makes of the path, takes for something else or not at all.
_NOT_IN_URI = re.compile(r"[\s\x00-\x1f\x7f-\x9f\"#%<>?\[\\\]^`{|}]")
# What Kestra imports as a flow.
_FLOWS = "_flows"


def encode(content: bytes) -> str:
    """Returns the content of a file as a property: plain where it is text."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = _BASE64
    return _BASE64 + b64encode(content).decode() if text.startswith(_BASE64) else text


def decode(text: str) -> bytes:
    """Returns the content of the file that `encode` made a property of."""
    return b64decode(text[len(_BASE64) :]) if text.startswith(_BASE64) else text.encode()


def digest(text: str | Unknown) -> str | Unknown:
    """Returns what outputs keep of a text, which the state holds once, in the inputs."""
    return text if isinstance(text, Unknown) else sha256(text.encode()).hexdigest()


def read_content(path: Path) -> bytes:
    """Returns the content of a file.

    Raises:
        ValueError: it cannot be read, or is too large.
    """
    try:
        if error := size_error(path.stat().st_size):
            raise ValueError(error)
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error


def size_error(size: int) -> str | None:
    """Returns why content with a size in bytes is too large for the state, or None if it is not."""
    if size <= _LARGEST_MB * 1_000_000:
        return None
    return (
        f"has {size / 1e6:.1f} MB, and the state of the stack would keep all of it: at most "
        f"{_LARGEST_MB} MB are allowed. Let flows download large files"
    )


def path_error(path: str) -> str | None:
    """Returns why flows cannot read a namespace file with a path, or None if they can."""
    if found := _NOT_IN_URI.search(path):
        return f"has {found[0]!r} in its path, with which flows cannot read it: rename it"
    parts = path.split("/")
    if {"", ".", ".."} & set(parts):
        return 'must have a path without empty parts, "." and ".."'
    if parts[0] == _FLOWS:
        return f"must not be in {_FLOWS}, from where Kestra imports flows"
    return None
