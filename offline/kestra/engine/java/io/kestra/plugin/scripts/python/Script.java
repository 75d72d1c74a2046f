package io.kestra.plugin.scripts.python;

import io.kestra.core.models.annotations.Plugin;
import io.kestra.core.models.property.Property;
import io.kestra.core.runners.RunContext;
import io.kestra.plugin.scripts.exec.scripts.runners.CommandsWrapper;
import jakarta.validation.constraints.NotNull;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;

/** Runs Python code. */
@Plugin
public class Script extends PythonScript {
    @NotNull
    public Property<String> script;

    @Override
    protected Property<List<String>> lines(RunContext context, CommandsWrapper wrapper)
        throws Exception {
        // So that booleans and null may be rendered right into the code, as with the plugin.
        String code = "true, false, null = True, False, None\n" + wrapper.render(context, script);
        Path file = context.workingDir()
            .createTempFile(code.getBytes(StandardCharsets.UTF_8), ".py");
        return Property.ofValue(List.of("\"${VIRTUAL_ENV:+$VIRTUAL_ENV/bin/}python3\" \"" + file + "\""));
    }
}
