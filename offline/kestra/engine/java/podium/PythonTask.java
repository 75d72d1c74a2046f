package podium;

import io.kestra.core.models.tasks.Output;
import io.kestra.core.models.tasks.RunnableTask;
import io.kestra.core.models.tasks.RunnableTaskException;
import io.kestra.core.models.tasks.Task;
import io.kestra.core.runners.RunContext;
import io.kestra.core.serializers.JacksonMapper;
import java.time.ZoneId;
import java.util.Map;

/**
 * A task that Kestra reads and validates from the fields of its class, and that Python runs.
 */
public abstract class PythonTask extends Task implements RunnableTask<PythonTask.Result> {
    private static volatile Python python;

    private volatile Work work;

    /** What Python implements to run tasks. */
    public interface Python {
        /** @param task the task as JSON, its expressions not yet rendered */
        Work begin(String task, RunContext context);
    }

    /** One run of a task. */
    public interface Work {
        /** @return JSON: the `outputs`, and the `error` of a task that failed */
        String run();

        void kill();
    }

    /** The outputs of a task. */
    public record Result(Map<String, Object> outputs) implements Output {
        @Override
        public Map<String, Object> toMap() {
            return outputs;
        }

        @Override
        public Map<String, Object> toMap(ZoneId zone) {
            return outputs;
        }
    }

    public static void runWith(Python implementation) {
        python = implementation;
    }

    @Override
    @SuppressWarnings("unchecked")
    public Result run(RunContext context) throws Exception {
        work = python.begin(JacksonMapper.ofJson().writeValueAsString(this), context);
        Map<String, Object> answer = JacksonMapper.toMap(work.run());
        Result result = new Result((Map<String, Object>) answer.get("outputs"));
        if (answer.get("error") != null) {
            throw new RunnableTaskException((String) answer.get("error"), result);
        }
        return result;
    }

    @Override
    public void kill() {
        if (work != null) {
            work.kill();
        }
    }
}
