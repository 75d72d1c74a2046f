package io.kestra.plugin.jdbc.postgresql;

import io.kestra.core.models.annotations.Plugin;
import io.kestra.core.models.property.Property;
import podium.SqlTask;

/** One SQL statement on PostgreSQL. */
@Plugin
public class Query extends SqlTask {
    public Property<Boolean> ssl;
    public Property<SslMode> sslMode;
    public Property<String> sslRootCert;
    public Property<String> sslCert;
    public Property<String> sslKey;
    public Property<String> sslKeyPassword;
}
