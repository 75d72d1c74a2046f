package podium;

import io.kestra.core.models.property.Property;
import io.kestra.core.models.tasks.common.FetchType;
import jakarta.validation.constraints.NotNull;
import java.util.List;
import java.util.Map;

/** The properties that Query and Queries of the JDBC plugin have for every database. */
public abstract class SqlTask extends ConnectedTask {
    public Property<String> timeZoneId;
    public Property<Boolean> connectionPooling;
    public Property<Integer> connectionPoolSize;
    @NotNull
    public Property<String> sql;
    public Property<String> afterSQL;
    @Deprecated
    public boolean store;
    @Deprecated
    public boolean fetchOne;
    @Deprecated
    public boolean fetch;
    @NotNull
    public Property<FetchType> fetchType = Property.ofValue(FetchType.NONE);
    public Property<Integer> fetchSize;
    public Property<Map<String, Object>> parameters;
    public Property<List<String>> outputFiles;
}
