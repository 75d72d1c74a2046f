package podium;

import io.kestra.core.models.property.Property;
import io.kestra.core.models.tasks.RunnableTask;
import io.kestra.core.runners.RunContext;
import io.kestra.plugin.core.runner.Process;
import io.kestra.plugin.scripts.exec.AbstractExecScript;
import io.kestra.plugin.scripts.exec.scripts.models.ScriptOutput;
import io.kestra.plugin.scripts.exec.scripts.runners.CommandsWrapper;
import java.util.List;
import java.util.Map;

/** A script that Kestra's own classes run in a process. */
public abstract class ProcessScript extends AbstractExecScript
    implements RunnableTask<ScriptOutput> {
    public Property<String> containerImage;

    @Override
    public Property<String> getContainerImage() {
        return containerImage;
    }

    /** The lines for the interpreter. */
    protected abstract Property<List<String>> lines(RunContext context, CommandsWrapper wrapper)
        throws Exception;

    @Override
    public ScriptOutput run(RunContext context) throws Exception {
        if (!(getTaskRunner() instanceof Process)) {
            throw new IllegalArgumentException(
                "taskRunner: only " + Process.class.getName() + " is available here"
            );
        }
        CommandsWrapper wrapper = commands(context);
        return wrapper
            .addEnv(Map.of("PYTHONUNBUFFERED", "true"))
            .withInterpreter(interpreter)
            .withBeforeCommands(beforeCommands)
            .withBeforeCommandsWithOptions(true)
            .withCommands(lines(context, wrapper))
            .run();
    }
}
