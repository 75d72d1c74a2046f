package podium.postgres;

import io.kestra.core.repositories.ArrayListTotal;
import io.kestra.jdbc.JdbcJsonbUtils;
import io.kestra.jdbc.JdbcTableConfig;
import io.kestra.jdbc.JooqDSLContextWrapper;
import io.kestra.jdbc.repository.AbstractJdbcRepository;
import io.kestra.repository.h2.H2Repository;
import io.micronaut.data.model.Pageable;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.jooq.Condition;
import org.jooq.DSLContext;
import org.jooq.Field;
import org.jooq.InsertOnDuplicateSetMoreStep;
import org.jooq.Record;
import org.jooq.RecordMapper;
import org.jooq.SelectConditionStep;
import org.jooq.impl.DSL;

/**
 * One table of PostgreSQL. It extends the one for H2, of which it leaves nothing, because the
 * repositories for H2, which work on PostgreSQL as they are, want one.
 */
class PostgresRepository<T> extends H2Repository<T> {
    private static final Field<String> KEY = AbstractJdbcRepository.KEY_FIELD;

    PostgresRepository(JdbcTableConfig table, JooqDSLContextWrapper context) {
        super(table, context);
    }

    @Override
    public Map<Field<Object>, Object> persistFields(T entity) {
        Map<Field<Object>, Object> fields = super.persistFields(entity);
        fields.replaceAll((field, json) -> JdbcJsonbUtils.valueOf((String) json));
        return fields;
    }

    @Override
    public void persist(T entity, DSLContext context, Map<Field<Object>, Object> fields) {
        upsert(entity, fields == null ? persistFields(entity) : fields, context).execute();
    }

    @Override
    public int persistBatch(List<T> entities) {
        Map<T, Map<Field<Object>, Object>> fields = new java.util.IdentityHashMap<>();
        entities.forEach(entity -> fields.put(entity, persistFields(entity)));
        return persistBatch(fields);
    }

    @Override
    public int persistBatch(Map<T, Map<Field<Object>, Object>> entities) {
        return dslContextWrapper.transactionResult(configuration -> {
            DSLContext context = DSL.using(configuration);
            var statements = entities.entrySet().stream()
                .map(each -> upsert(each.getKey(), each.getValue(), context))
                .toList();
            return Arrays.stream(context.batch(statements).execute()).sum();
        });
    }

    private InsertOnDuplicateSetMoreStep<Record> upsert(
        T entity, Map<Field<Object>, Object> fields, DSLContext context
    ) {
        return context.insertInto(table)
            .set(KEY, key(entity))
            .set(fields)
            .onConflict(KEY)
            .doUpdate()
            .set(excluded(fields));
    }

    /** Matches the objects with words that begin with all words of the query. */
    @Override
    public Condition fullTextCondition(List<String> fields, String query) {
        if (query == null || query.equals("*")) {
            return DSL.noCondition();
        }
        String words = Arrays.stream(query.split("[^\\p{L}\\p{N}]+"))
            .filter(word -> !word.isEmpty())
            .map(word -> word + ":*")
            .collect(Collectors.joining(" & "));
        Field<Object> field = AbstractJdbcRepository.field(fields.getFirst());
        return words.isEmpty()
            ? DSL.falseCondition()
            : DSL.condition("{0} @@ to_tsquery('simple', {1})", field, DSL.val(words));
    }

    @Override
    public <R extends Record, E> ArrayListTotal<E> fetchPage(
        DSLContext context, SelectConditionStep<R> select, Pageable page, RecordMapper<R, E> mapper
    ) {
        int total = context.fetchCount(select);
        return new ArrayListTotal<>(pageable(select, page).fetch(mapper), total);
    }
}
