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

from offline.kestra.context import RunContext
from offline.kestra.schema import Json, Property
from offline.kestra.tasks.base import Runnable, TaskError

_CHUNK = 1 << 20
_ALGORITHMS = (
    "BROTLI", "BZIP2", "DEFLATE", "DEFLATE64", "GZIP", "LZ4BLOCK", "LZ4FRAME", "LZMA", "SNAPPY",
    "SNAPPYFRAME", "XZ", "Z", "ZSTD",
)  # fmt: skip
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


def _read(source: BinaryIO, context: RunContext) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK):
        context.cancellation.check()
        yield chunk


def _decompress(chunks: Iterator[bytes], decompressor: Any) -> Iterator[bytes]:
    """Decompress with at most one chunk of output in memory.

    Raises:
        TaskError: the data ends too early.
    """
    for chunk in chunks:
        yield decompressor.decompress(chunk, _CHUNK)
        while not decompressor.eof:
            # zlib hands back what it did not get to; the others keep it.
            pending = getattr(decompressor, "unconsumed_tail", b"")
            if not pending and getattr(decompressor, "needs_input", True):
                break
            yield decompressor.decompress(pending, _CHUNK)
        if decompressor.eof:
            return
    raise TaskError("Unexpected end of the compressed data")


def _compress(chunks: Iterator[bytes], compressor: Any) -> Iterator[bytes]:
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


class _File(Runnable):
    properties = {
        "compression": Property("enum", required=True, values=_ALGORITHMS),
        "from": Property(required=True),
    }

    def _convert(
        self,
        codecs: dict[str, Callable[[], Any]],
        convert: Callable[[Iterator[bytes], Any], Iterator[bytes]],
    ) -> Json:
        algorithm = self.choice("compression", _ALGORITHMS) or ""
        if algorithm not in codecs:
            raise TaskError(
                f"compression: {algorithm} is not supported by the stand-in, which has "
                + ", ".join(codecs)
            )
        file = self.context.working_file(".tmp")
        try:
            with (
                self.context.storage.open(self.text("from") or "") as source,
                file.open("wb") as sink,
            ):
                for chunk in convert(_read(source, self.context), codecs[algorithm]()):
                    sink.write(chunk)
        except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
            raise TaskError(f"Input is not in the {algorithm} format: {error}") from error
        return {"uri": self.context.put_file(file)}


class FileDecompress(_File):
    """Decompress a file of the internal storage."""

    type = "io.kestra.plugin.compress.FileDecompress"

    def run(self) -> Json:
        return self._convert(_DECOMPRESSORS, _decompress)


class FileCompress(_File):
    """Compress a file of the internal storage."""

    type = "io.kestra.plugin.compress.FileCompress"

    def run(self) -> Json:
        return self._convert(_COMPRESSORS, _compress)


TASKS = (FileDecompress, FileCompress)
