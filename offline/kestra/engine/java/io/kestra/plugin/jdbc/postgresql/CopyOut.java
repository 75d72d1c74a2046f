package io.kestra.plugin.jdbc.postgresql;

import io.kestra.core.models.annotations.Plugin;
import io.kestra.core.models.property.Property;

/** Copies a table or the result of a query into a stored file. */
@Plugin
public class CopyOut extends Copy {
    public Property<String> sql;
}
