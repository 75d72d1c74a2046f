package io.kestra.plugin.serdes.csv;

import io.kestra.core.models.annotations.Plugin;
import io.kestra.core.models.property.Property;
import jakarta.validation.constraints.NotNull;
import podium.PythonTask;

/** Writes the rows of a stored Ion file as CSV. */
@Plugin
public class IonToCsv extends PythonTask {
    @NotNull
    public Property<String> from;
    public Property<Boolean> header;
    public Property<Character> fieldSeparator;
    public Property<String> lineDelimiter;
    public Property<Character> textDelimiter;
    public Property<Boolean> alwaysDelimitText;
    public Property<String> charset;
}
