package io.kestra.plugin.scripts.python;

import io.kestra.core.models.property.Property;
import io.kestra.core.runners.RunContext;
import io.kestra.plugin.scripts.exec.scripts.models.ScriptOutput;
import java.util.List;
import podium.ProcessScript;

/** What Script and Commands have in common. */
public abstract class PythonScript extends ProcessScript {
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
    public ScriptOutput run(RunContext context) throws Exception {
        if (dependencies != null || pythonVersion != null) {
            throw new IllegalArgumentException(
                "dependencies, pythonVersion: not available here; scripts run on the python3 of "
                    + "the machine"
            );
        }
        return super.run(context);
    }
}
