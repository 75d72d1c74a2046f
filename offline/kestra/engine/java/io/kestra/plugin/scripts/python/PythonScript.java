package io.kestra.plugin.scripts.python;

import io.kestra.core.models.property.Property;
import io.kestra.core.models.tasks.RunnableTask;
import io.kestra.core.runners.RunContext;
import io.kestra.plugin.core.runner.Process;
import io.kestra.plugin.scripts.exec.AbstractExecScript;
import io.kestra.plugin.scripts.exec.scripts.models.ScriptOutput;
import io.kestra.plugin.scripts.exec.scripts.runners.CommandsWrapper;
import java.util.List;
import java.util.Map;

/** What Script and Commands have in common; Kestra's own classes do the work. */
public abstract class PythonScript extends AbstractExecScript
    implements RunnableTask<ScriptOutput> {
    public Property<String> containerImage = Property.ofValue("python:3.13-slim");
    public Property<List<String>> dependencies;
    public Property<String> pythonVersion;
    public Property<Boolean> dependencyCacheEnabled;
    public Property<PackageManager> packageManager;
    public Property<Boolean> uvAutoInstallEnabled;
    public Property<String> uvInstallerVersion;
    public Property<String> uvInstallerSha256;

    public enum PackageManager {
        UV,
        PIP
    }

    @Override
    public Property<String> getContainerImage() {
        return containerImage;
    }

    /** The lines for the interpreter. */
    protected abstract Property<List<String>> lines(RunContext context, CommandsWrapper commands)
        throws Exception;

    @Override
    public ScriptOutput run(RunContext context) throws Exception {
        if (!(getTaskRunner() instanceof Process)) {
            throw new IllegalArgumentException(
                "taskRunner: only " + Process.class.getName() + " is available here"
            );
        }
        if (dependencies != null || pythonVersion != null) {
            throw new IllegalArgumentException(
                "dependencies and pythonVersion: not available here, where scripts run on the "
                    + "Python of the machine"
            );
        }
        CommandsWrapper commands = commands(context);
        return commands
            .addEnv(Map.of("PYTHONUNBUFFERED", "true"))
            .withInterpreter(interpreter)
            .withBeforeCommands(beforeCommands)
            .withBeforeCommandsWithOptions(true)
            .withCommands(lines(context, commands))
            .run();
    }
}
