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
    @NotNull
    public Property<Boolean> header = Property.ofValue(true);
    @NotNull
    public Property<Character> fieldSeparator = Property.ofValue(',');
    @NotNull
    public Property<String> lineDelimiter = Property.ofValue("\n");
    @NotNull
    public Property<Character> textDelimiter = Property.ofValue('"');
    public Property<Boolean> alwaysDelimitText;
    @NotNull
    public Property<String> charset = Property.ofValue("UTF-8");
}
