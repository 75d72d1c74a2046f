package io.kestra.plugin.jdbc.postgresql;

import io.kestra.core.models.annotations.Plugin;
import io.kestra.core.models.property.Property;

/** SQL statements on PostgreSQL, in one transaction by default. */
@Plugin
public class Queries extends Query {
    public Property<Boolean> transaction;
}
