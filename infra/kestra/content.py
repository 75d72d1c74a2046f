"""The contents of namespace files as properties of resources."""

from base64 import b64decode, b64encode

# Marks what is no text, and a text that looks as if it were so marked.
_BASE64 = "base64:"


def encode(content: bytes) -> str:
    """Returns the content of a file as a property: as text where it is text."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = _BASE64
    return _BASE64 + b64encode(content).decode() if text.startswith(_BASE64) else text


def decode(text: str) -> bytes:
    """Returns the content that a property stands for."""
    return b64decode(text[len(_BASE64) :]) if text.startswith(_BASE64) else text.encode()
