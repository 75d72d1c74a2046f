package podium;

import io.kestra.core.models.property.Property;
import io.kestra.core.models.tasks.Output;
import io.kestra.core.models.tasks.RunnableTask;
import io.kestra.core.models.tasks.Task;
import io.kestra.core.runners.RunContext;
import io.kestra.core.runners.RunContextProperty;
import io.kestra.core.serializers.JacksonMapper;
import java.lang.reflect.Field;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.time.ZoneId;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;

/**
 * A task that Kestra reads, validates and renders by the fields of its class, and that Python runs.
 */
public abstract class PythonTask extends Task implements RunnableTask<PythonTask.Result> {
    private static volatile Python python;

    private volatile Work work;

    /** What Python implements to run tasks. */
    public interface Python {
        Work begin(PythonTask task, RunContext context);
    }

    /** One run of a task. */
    public interface Work {
        /** @return the outputs as JSON */
        String run() throws Exception;

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

    /** @return a property, rendered with more variables and converted to its type, as JSON */
    public String property(RunContext context, String name, Map<String, Object> variables)
        throws Exception {
        Field field = getClass().getField(name);
        Object value = field.get(this);
        if (value instanceof Property<?> property) {
            Type type = ((ParameterizedType) field.getGenericType()).getActualTypeArguments()[0];
            value = rendered(context.render(property), type, variables);
        }
        return JacksonMapper.ofJson().writeValueAsString(value);
    }

    @SuppressWarnings({"rawtypes", "unchecked"})
    private static Object rendered(
        RunContextProperty property,
        Type type,
        Map<String, Object> variables
    ) throws Exception {
        if (!(type instanceof ParameterizedType container)) {
            return property.as((Class) type, variables).orElse(null);
        }
        Type[] of = container.getActualTypeArguments();
        return container.getRawType() == List.class
            ? property.asList((Class) of[0], variables)
            : property.asMap((Class) of[0], (Class) of[1], variables);
    }

    @Override
    public Result run(RunContext context) throws Exception {
        work = python.begin(this, context);
        // In a thread of its own: a timeout interrupts this one, which Python would not notice.
        FutureTask<String> outputs = new FutureTask<>(work::run);
        Thread thread = new Thread(outputs, Thread.currentThread().getName());
        thread.setDaemon(true);
        thread.start();
        try {
            return new Result(JacksonMapper.toMap(outputs.get()));
        } catch (ExecutionException error) {
            throw error.getCause() instanceof Exception cause ? cause : error;
        } catch (InterruptedException error) {
            work.kill();
            throw error;
        }
    }

    @Override
    public void kill() {
        if (work != null) {
            work.kill();
        }
    }
}
