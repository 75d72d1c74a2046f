package io.kestra.plugin.jdbc.postgresql;

import io.kestra.core.models.annotations.Plugin;
import io.kestra.core.models.property.Property;
import jakarta.validation.constraints.NotNull;

/** Copies a stored file into a table. */
@Plugin
public class CopyIn extends Copy {
    @NotNull
    public Property<String> from;
}
