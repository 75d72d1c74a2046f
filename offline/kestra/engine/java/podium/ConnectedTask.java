package podium;

import io.kestra.core.models.property.Property;
import jakarta.validation.constraints.NotNull;

/** The connection properties of the JDBC plugin. */
public abstract class ConnectedTask extends PythonTask {
    @NotNull
    public Property<String> url;
    public Property<String> username;
    public Property<String> password;
}
