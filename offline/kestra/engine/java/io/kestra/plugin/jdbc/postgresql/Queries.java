package io.kestra.plugin.jdbc.postgresql;

import io.kestra.core.models.annotations.Plugin;
import io.kestra.core.models.property.Property;
import jakarta.validation.constraints.NotNull;

/** SQL statements on PostgreSQL, in one transaction by default. */
@Plugin
public class Queries extends Query {
    @NotNull
    public Property<Boolean> transaction = Property.ofValue(true);
}
