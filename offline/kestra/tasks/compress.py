"""The compress plugin: one file in, one file out, in a stream.

Source of the properties and outputs: github.com/kestra-io/plugin-compress. Like there, only the
first member of a file of several is decompressed.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from offline.kestra.tasks.base import Context, Json, Task, TaskError

_CHUNK = 1 << 20
_GZIP, _ZLIB = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS
_DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "GZIP": lambda: zlib.decompressobj(_GZIP),
    "DEFLATE": lambda: zlib.decompressobj(_ZLIB),
    "BZIP2": bz2.BZ2Decompressor,
    "XZ": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ),
    "LZMA": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE),
}
_COMPRESSORS: dict[str, Callable[[], Any]] = {
    "GZIP": lambda: zlib.compressobj(wbits=_GZIP),
    "DEFLATE": lambda: zlib.compressobj(wbits=_ZLIB),
    "BZIP2": bz2.BZ2Compressor,
    "XZ": lambda: lzma.LZMACompressor(lzma.FORMAT_XZ),
    "LZMA": lambda: lzma.LZMACompressor(lzma.FORMAT_ALONE),
}


def _read(source: BinaryIO, context: Context) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        context.cancellation.check()
        yield chunk


def _decompress(chunks: Iterator[bytes], codec: Any) -> Iterator[bytes]:
    """Decompresses with at most one chunk of output in memory.

    Raises:
        TaskError: if the data ends too early.
    """
    for chunk in chunks:
        yield codec.decompress(chunk, _CHUNK)
        while not codec.eof:
            # zlib hands back what it did not get to; the others keep it.
            pending = getattr(codec, "unconsumed_tail", b"")
            if not pending and getattr(codec, "needs_input", True):
                break
            yield codec.decompress(pending, _CHUNK)
        if codec.eof:
            return
    raise TaskError("Unexpected end of the compressed data")


def _compress(chunks: Iterator[bytes], codec: Any) -> Iterator[bytes]:
    for chunk in chunks:
        yield codec.compress(chunk)
    yield codec.flush()


class FileDecompress(Task):
    """Decompresses a file of the internal storage."""

    type = "io.kestra.plugin.compress.FileDecompress"
    codecs = _DECOMPRESSORS
    convert = staticmethod(_decompress)

    def run(self) -> Json:
        algorithm = self.property("compression")
        if algorithm not in self.codecs:
            raise TaskError(
                f"compression: {algorithm} is not available here. "
                f"Available: {', '.join(self.codecs)}"
            )
        codec = self.codecs[algorithm]()
        file = self.context.working_file(".tmp")
        try:
            with self.context.open(self.property("from")) as source, file.open("wb") as sink:
                for chunk in self.convert(_read(source, self.context), codec):
                    sink.write(chunk)
        except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
            raise TaskError(f"Input is not in the {algorithm} format: {error}") from error
        return {"uri": self.context.put(file)}


class FileCompress(FileDecompress):
    """Compresses a file of the internal storage."""

    type = "io.kestra.plugin.compress.FileCompress"
    codecs = _COMPRESSORS
    convert = staticmethod(_compress)


TASKS = (FileDecompress, FileCompress)
