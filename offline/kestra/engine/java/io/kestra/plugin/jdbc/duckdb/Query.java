package io.kestra.plugin.jdbc.duckdb;

import io.kestra.core.models.annotations.Plugin;
import io.kestra.core.models.property.Property;
import java.util.List;
import podium.SqlTask;

/** One SQL statement of DuckDB. */
@Plugin
public class Query extends SqlTask {
    public Object inputFiles;
    public Property<String> databaseUri;
    public Property<Boolean> outputDbFile;
    public Property<List<String>> communityExtensions;

    public Query() {
        url = Property.ofValue("jdbc:duckdb:");
    }
}
