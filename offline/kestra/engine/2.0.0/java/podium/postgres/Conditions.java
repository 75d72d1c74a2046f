package podium.postgres;

import com.fasterxml.jackson.core.JsonProcessingException;
import io.kestra.core.exceptions.InvalidQueryFiltersException;
import io.kestra.core.models.QueryFilter;
import io.kestra.core.serializers.JacksonMapper;
import io.kestra.core.utils.DateUtils;
import java.util.Collection;
import java.util.Date;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jooq.Condition;
import org.jooq.Field;
import org.jooq.JSONB;
import org.jooq.impl.DSL;

/** The SQL that Kestra leaves to each database. */
final class Conditions {
    private static final Field<JSONB> OBJECT = DSL.field(DSL.quotedName("value"), JSONB.class);
    private static final Field<String> KEY = DSL.field("label ->> 'key'", String.class);
    private static final Field<String> VALUE = DSL.field("label ->> 'value'", String.class);

    private Conditions() {
    }

    /** Filters by the labels of a flow or an execution: by keys and values, or a text in either. */
    static Condition labels(Object filter, QueryFilter.Op operation) {
        if (filter instanceof Map<?, ?> labels) {
            List<Condition> conditions = labels.entrySet().stream()
                .map(label -> label(label.getKey().toString(), label.getValue(), operation))
                .toList();
            return operation == QueryFilter.Op.IN ? DSL.or(conditions) : DSL.and(conditions);
        }
        String text = filter.toString();
        Condition contains = anyLabel(KEY.contains(text).or(VALUE.contains(text)));
        return switch (operation) {
            case CONTAINS -> contains;
            case NOT_CONTAINS -> contains.not();
            default -> label(text, null, operation);
        };
    }

    private static Condition label(String key, Object value, QueryFilter.Op operation) {
        return switch (operation) {
            case EQUALS, IN -> value == null ? not(hasKey(key)) : hasValue(key, value);
            case NOT_EQUALS, NOT_IN -> value == null ? hasKey(key) : not(hasValue(key, value));
            case CONTAINS -> anyLabel(KEY.eq(key).and(VALUE.contains(value.toString())));
            case NOT_CONTAINS -> anyLabel(KEY.eq(key).and(VALUE.contains(value.toString()))).not();
            case IS_NULL -> not(hasKey(key));
            case IS_NOT_NULL -> hasKey(key);
            default -> throw new InvalidQueryFiltersException("Unsupported operation: " + operation);
        };
    }

    private static Condition hasKey(String key) {
        return element("labels", Map.of("key", key));
    }

    private static Condition hasValue(String key, Object value) {
        return value instanceof Collection<?> values
            ? DSL.or(values.stream().map(each -> hasValue(key, each)).toList())
            : element("labels", Map.of("key", key, "value", value.toString()));
    }

    private static Condition anyLabel(Condition condition) {
        return DSL.condition(
            "EXISTS (SELECT FROM jsonb_path_query({0}, '$.labels[*]') label WHERE {1})",
            OBJECT,
            condition
        );
    }

    /** Whether a list in the object has an element with these properties; NULL without the list. */
    static Condition element(String list, Map<String, String> properties) {
        try {
            String json = JacksonMapper.ofJson().writeValueAsString(List.of(properties));
            return DSL.condition(
                "({0} -> {1}) @> {2}", OBJECT, DSL.inline(list), DSL.val(JSONB.valueOf(json))
            );
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException(e);
        }
    }

    private static Condition not(Condition condition) {
        return DSL.condition("({0}) IS NOT TRUE", condition);
    }

    /** The beginning of the minute, hour ... that a time is in. */
    static Field<Date> truncated(String column, DateUtils.GroupType unit) {
        return DSL.field(
            "date_trunc({0}, {1}, 'UTC')",
            Date.class,
            DSL.inline(unit.name().toLowerCase(Locale.ROOT)),
            DSL.field(DSL.quotedName(column))
        );
    }
}
