package podium.postgres;

import io.kestra.core.contexts.configuration.SystemFlowsConfiguration;
import io.kestra.core.migration.MigrationLock;
import io.kestra.core.migration.MigrationScript;
import io.kestra.core.repositories.LogDataStoreInterface;
import io.kestra.jdbc.AbstractJdbcRepository;
import io.kestra.jdbc.JdbcTableConfig;
import io.kestra.jdbc.JdbcTableConfigsFactory;
import io.kestra.jdbc.JooqDSLContextWrapper;
import io.kestra.repository.h2.H2ConcurrencyLimitRepository;
import io.kestra.repository.h2.H2ExecutionOutputRepository;
import io.kestra.repository.h2.H2ExecutionStatisticsRepository;
import io.kestra.repository.h2.H2FlowTopologyRepository;
import io.kestra.repository.h2.H2KvMetadataRepository;
import io.kestra.repository.h2.H2LockRepository;
import io.kestra.repository.h2.H2McpServerRepository;
import io.kestra.repository.h2.H2McpSessionRepository;
import io.kestra.repository.h2.H2NamespaceFileMetadataRepository;
import io.kestra.repository.h2.H2ServiceInstanceRepository;
import io.kestra.repository.h2.H2SettingRepository;
import io.kestra.repository.h2.H2TaskOutputRepository;
import io.kestra.repository.h2.H2WorkerJobRunningStateStore;
import io.kestra.runner.h2.H2ConcurrencyLimitStateStore;
import io.kestra.runner.h2.H2ExecutionDelayStateStore;
import io.kestra.runner.h2.H2ExecutionQueuedStateStore;
import io.kestra.runner.h2.H2MultipleConditionStateStore;
import io.kestra.runner.h2.H2SLAMonitorStateStore;
import io.micronaut.context.ApplicationContext;
import io.micronaut.context.ApplicationContextConfigurer;
import io.micronaut.context.RuntimeBeanDefinition;
import io.micronaut.core.type.Argument;
import io.micronaut.inject.qualifiers.Qualifiers;
import jakarta.inject.Named;
import java.lang.reflect.Constructor;
import java.lang.reflect.Method;
import java.lang.reflect.Parameter;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.Supplier;
import javax.sql.DataSource;

/**
 * Keeps Kestra's data in PostgreSQL, if the configuration says so in `kestra.repository.type`.
 * Java's service loader finds it.
 */
public class Beans implements ApplicationContextConfigurer {
    private static final List<Class<?>> REPOSITORIES = List.of(
        Repositories.Executions.class,
        Repositories.Flows.class,
        Repositories.Metrics.class,
        Repositories.Triggers.class,
        // These have no SQL that PostgreSQL does not understand.
        H2ConcurrencyLimitRepository.class,
        H2ConcurrencyLimitStateStore.class,
        H2ExecutionDelayStateStore.class,
        H2ExecutionOutputRepository.class,
        H2ExecutionQueuedStateStore.class,
        H2ExecutionStatisticsRepository.class,
        H2FlowTopologyRepository.class,
        H2KvMetadataRepository.class,
        H2LockRepository.class,
        H2McpServerRepository.class,
        H2McpSessionRepository.class,
        H2MultipleConditionStateStore.class,
        H2NamespaceFileMetadataRepository.class,
        H2SLAMonitorStateStore.class,
        H2ServiceInstanceRepository.class,
        H2SettingRepository.class,
        H2TaskOutputRepository.class,
        H2WorkerJobRunningStateStore.class
    );

    @Override
    public void configure(ApplicationContext context) {
        String type = context.getProperty("kestra.repository.type", String.class).orElse("");
        if (!type.equals("postgres")) {
            return;
        }
        register(context, MigrationLock.class, () -> new Migration.Lock(context.getBean(DataSource.class)));
        register(context, MigrationScript.class, () -> new Migration(context.getBean(DataSource.class)));
        for (Method method : JdbcTableConfigsFactory.class.getDeclaredMethods()) {
            if (method.isAnnotationPresent(Named.class)) {
                registerTable(context, method);
            }
        }
        REPOSITORIES.forEach(repository -> register(context, repository, () -> create(context, repository)));
        // Kestra's own is a plugin, which is found by another service.
        context.registerBeanDefinition(
            RuntimeBeanDefinition.builder(LogDataStoreInterface.class, () -> {
                Repositories.Logs logs = new Repositories.Logs();
                logs.init(context);
                return logs;
            }).singleton(true).replaces(LogDataStoreInterface.class).build()
        );
    }

    private static <T> void register(ApplicationContext context, Class<T> type, Supplier<?> create) {
        context.registerBeanDefinition(
            RuntimeBeanDefinition.builder(type, () -> type.cast(create.get())).singleton(true).build()
        );
    }

    private static void registerTable(ApplicationContext context, Method method) {
        JdbcTableConfig table;
        try {
            table = (JdbcTableConfig) method.invoke(new JdbcTableConfigsFactory());
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
        context.registerBeanDefinition(
            RuntimeBeanDefinition.builder(
                PostgresRepository.class,
                () -> new PostgresRepository<>(table, context.getBean(JooqDSLContextWrapper.class))
            )
                .named(method.getAnnotation(Named.class).value())
                .typeArguments(AbstractJdbcRepository.class, Argument.of(table.cls()))
                .singleton(true)
                .build()
        );
    }

    /** Creates a repository as Micronaut would, whose definition of it is for H2 only. */
    private static <T> T create(ApplicationContext context, Class<T> type) {
        try {
            Constructor<?> constructor = type.getDeclaredConstructors()[0];
            T repository = type.cast(
                constructor.newInstance(
                    Arrays.stream(constructor.getParameters()).map(each -> bean(context, each)).toArray()
                )
            );
            var field = io.kestra.jdbc.repository.AbstractJdbcRepository.class
                .getDeclaredField("systemFlowsConfiguration");
            field.setAccessible(true);
            field.set(repository, context.getBean(SystemFlowsConfiguration.class));
            return repository;
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }

    private static Object bean(ApplicationContext context, Parameter parameter) {
        Named named = parameter.getAnnotation(Named.class);
        if (named == null) {
            return context.getBean(Argument.of(parameter.getParameterizedType()));
        }
        String table = named.value().toLowerCase(Locale.ROOT);
        return context.getBean(PostgresRepository.class, Qualifiers.byName(table));
    }
}
