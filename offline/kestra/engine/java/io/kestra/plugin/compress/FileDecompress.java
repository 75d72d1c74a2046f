package io.kestra.plugin.compress;

import io.kestra.core.models.annotations.Plugin;
import io.kestra.core.models.property.Property;
import jakarta.validation.constraints.NotNull;
import podium.PythonTask;

/** Decompresses a stored file. */
@Plugin
public class FileDecompress extends PythonTask {
    @NotNull
    public Property<CompressionAlgorithm> compression;
    @NotNull
    public Property<String> from;

    public enum CompressionAlgorithm {
        BROTLI,
        BZIP2,
        DEFLATE,
        DEFLATE64,
        GZIP,
        LZ4BLOCK,
        LZ4FRAME,
        LZMA,
        SNAPPY,
        SNAPPYFRAME,
        XZ,
        Z,
        ZSTD
    }
}
