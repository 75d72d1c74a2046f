package podium.postgres;

import io.kestra.core.contexts.configuration.SystemFlowsConfiguration;
import io.kestra.core.events.CrudEvent;
import io.kestra.core.models.QueryFilter;
import io.kestra.core.models.executions.Execution;
import io.kestra.core.models.executions.MetricEntry;
import io.kestra.core.models.flows.FlowInterface;
import io.kestra.core.models.triggers.AbstractTrigger;
import io.kestra.core.models.validations.ModelValidator;
import io.kestra.core.scheduler.model.TriggerState;
import io.kestra.core.services.FlowParsingService;
import io.kestra.core.utils.DateUtils;
import io.kestra.core.utils.Either;
import io.kestra.jdbc.repository.AbstractJdbcRepository;
import io.kestra.jdbc.services.JdbcFilterService;
import io.kestra.repository.h2.H2ExecutionRepository;
import io.kestra.repository.h2.H2FlowRepository;
import io.kestra.repository.h2.H2LogDataStore;
import io.kestra.repository.h2.H2MetricRepository;
import io.kestra.repository.h2.H2Repository;
import io.kestra.repository.h2.H2TriggerRepository;
import io.micronaut.context.event.ApplicationEventPublisher;
import jakarta.inject.Named;
import java.util.Date;
import java.util.List;
import java.util.Map;
import org.jooq.Condition;
import org.jooq.Field;
import org.jooq.impl.DSL;

/** The repositories whose SQL differs from H2's. */
final class Repositories {
    private Repositories() {
    }

    static class Executions extends H2ExecutionRepository {
        Executions(
            @Named("executions") H2Repository<Execution> repository,
            ApplicationEventPublisher<CrudEvent<Execution>> events,
            SystemFlowsConfiguration systemFlows,
            JdbcFilterService filters
        ) {
            super(repository, events, systemFlows, filters);
        }

        @Override
        protected Condition findCondition(String query, Map<String, String> labels) {
            return search(jdbcRepository, query, labels);
        }

        @Override
        public Condition findLabelCondition(Either<Map<?, ?>, String> filter, QueryFilter.Op operation) {
            return Conditions.labels(filter.isLeft() ? filter.getLeft() : filter.getRight(), operation);
        }

        @Override
        protected Field<Date> formatDateField(String column, DateUtils.GroupType unit) {
            return Conditions.truncated(column, unit);
        }
    }

    static class Flows extends H2FlowRepository {
        Flows(
            @Named("flows") H2Repository<FlowInterface> repository,
            ModelValidator validator,
            ApplicationEventPublisher<CrudEvent<FlowInterface>> events,
            FlowParsingService parser,
            JdbcFilterService filters
        ) {
            super(repository, validator, events, parser, filters);
        }

        @Override
        protected Condition findCondition(String query, Map<String, String> labels) {
            return search(jdbcRepository, query, labels);
        }

        @Override
        protected Condition findCondition(Object labels, QueryFilter.Op operation) {
            return Conditions.labels(labels, operation);
        }

        /** Kestra itself looks for the matches in the sources that are found. */
        @Override
        protected Condition findSourceCodeCondition(String query) {
            return AbstractJdbcRepository.field("source_code").containsIgnoreCase(query);
        }

        @Override
        protected Condition findTriggerClassCondition(Class<? extends AbstractTrigger> type) {
            return type == null
                ? DSL.trueCondition()
                : Conditions.element("triggers", Map.of("type", type.getName()));
        }
    }

    static class Metrics extends H2MetricRepository {
        Metrics(@Named("metrics") H2Repository<MetricEntry> repository, JdbcFilterService filters) {
            super(repository, filters);
        }

        @Override
        protected Field<Date> formatDateField(String column, DateUtils.GroupType unit) {
            return Conditions.truncated(column, unit);
        }
    }

    static class Triggers extends H2TriggerRepository {
        Triggers(@Named("triggers") H2Repository<TriggerState> repository, JdbcFilterService filters) {
            super(repository, filters);
        }

        @Override
        protected Field<Date> formatDateField(String column, DateUtils.GroupType unit) {
            return Conditions.truncated(column, unit);
        }
    }

    static class Logs extends H2LogDataStore {
        @Override
        protected Field<Date> formatDateField(String column, DateUtils.GroupType unit) {
            return Conditions.truncated(column, unit);
        }
    }

    private static Condition search(
        io.kestra.jdbc.AbstractJdbcRepository<?> repository, String query, Map<String, String> labels
    ) {
        Condition words = query == null
            ? DSL.noCondition()
            : repository.fullTextCondition(List.of("fulltext"), query);
        return labels == null ? words : words.and(Conditions.labels(labels, QueryFilter.Op.EQUALS));
    }
}
