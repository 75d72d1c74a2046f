package io.kestra.plugin.scripts.shell;

import io.kestra.core.models.annotations.Plugin;
import io.kestra.core.models.property.Property;
import io.kestra.core.runners.RunContext;
import io.kestra.plugin.scripts.exec.scripts.runners.CommandsWrapper;
import jakarta.validation.constraints.NotNull;
import java.util.List;
import podium.ProcessScript;

/** Runs commands of a shell. */
@Plugin
public class Commands extends ProcessScript {
    @NotNull
    public Property<List<String>> commands;

    @Override
    protected Property<List<String>> lines(RunContext context, CommandsWrapper wrapper) {
        return commands;
    }
}
