package io.kestra.plugin.jdbc.postgresql;

import io.kestra.core.models.property.Property;
import jakarta.validation.constraints.NotNull;
import java.util.List;
import podium.ConnectedTask;

/** The properties of COPY in both directions. */
public abstract class Copy extends ConnectedTask {
    public Property<Boolean> ssl;
    public Property<SslMode> sslMode;
    public Property<String> sslRootCert;
    public Property<String> sslCert;
    public Property<String> sslKey;
    public Property<String> sslKeyPassword;
    public Property<String> table;
    public Property<List<String>> columns;
    @NotNull
    public Property<Format> format = Property.ofValue(Format.TEXT);
    public Property<Boolean> oids;
    public Property<Boolean> freeze;
    public Property<String> delimiter;
    public Property<String> nullString;
    public Property<Boolean> header;
    public Property<String> quote;
    public Property<String> escape;
    public Property<List<String>> forceQuote;
    public Property<List<String>> forceNotNull;
    public Property<List<String>> forceNull;
    public Property<String> encoding;
    public Property<Integer> socketTimeout;

    public enum Format {
        TEXT,
        CSV,
        BINARY
    }
}
