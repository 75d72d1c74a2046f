package io.kestra.plugin.compress;

import io.kestra.core.models.annotations.Plugin;

/** Compresses a stored file. */
@Plugin
public class FileCompress extends FileDecompress {}
