"""Texts and files as properties of resources."""

from base64 import b64decode, b64encode
from hashlib import sha256

from pulumi.output import Unknown

# Marks binary content, and text that starts with the mark itself.
_BASE64 = "base64:"


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
