package podium.postgres;

import io.kestra.core.migration.MigrationLock;
import io.kestra.core.migration.MigrationScript;
import io.kestra.jdbc.migration.AbstractSQLMigrationScript;
import io.micronaut.data.connection.jdbc.advice.DelegatingDataSource;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import javax.sql.DataSource;

/** Creates the tables, once. */
final class Migration implements MigrationScript {
    private static final String SCHEMA = "/podium/postgres/schema.sql";
    private final DataSource database;

    Migration(DataSource database) {
        this.database = DelegatingDataSource.unwrapDataSource(database);
    }

    @Override
    public String scriptId() {
        return "0-podium"; // Kestra runs them in the order of their names
    }

    @Override
    public String description() {
        return "Create the tables";
    }

    @Override
    public List<String> sqlResources() {
        return List.of(SCHEMA);
    }

    @Override
    public String checksum() {
        return MigrationScript.checksumOfResources(SCHEMA);
    }

    @Override
    public void migrate() throws Exception {
        try (Connection connection = database.getConnection()) {
            connection.setAutoCommit(false);
            try (Statement statement = connection.createStatement()) {
                ResultSet flows = statement.executeQuery("SELECT to_regclass('flows') IS NOT NULL");
                flows.next();
                if (flows.getBoolean(1)) {
                    throw new IllegalStateException(
                        "The database " + connection.getCatalog() + " holds the tables of another"
                            + " Kestra. Use an empty database."
                    );
                }
                statement.execute(AbstractSQLMigrationScript.readSqlResource(SCHEMA));
                connection.commit();
            } finally {
                connection.rollback();
                connection.setAutoCommit(true);
            }
        }
    }

    /** Lets one server at a time create the tables. */
    static final class Lock implements MigrationLock {
        private static final long KEY = 0x706f6469756dL;
        private final DataSource database;
        private Connection connection;

        Lock(DataSource database) {
            this.database = DelegatingDataSource.unwrapDataSource(database);
        }

        @Override
        public void acquire() throws SQLException {
            connection = database.getConnection();
            select("pg_advisory_lock");
        }

        @Override
        public boolean tryAcquire() throws SQLException {
            connection = database.getConnection();
            if (select("pg_try_advisory_lock")) {
                return true;
            }
            connection.close();
            return false;
        }

        @Override
        public void release() throws SQLException {
            try (Connection held = connection) {
                select("pg_advisory_unlock");
            }
        }

        @Override
        public void forceRelease() {
            throw new UnsupportedOperationException(
                "PostgreSQL releases the lock when the server that holds it has ended."
            );
        }

        private boolean select(String function) throws SQLException {
            try (Statement statement = connection.createStatement()) {
                ResultSet result = statement.executeQuery("SELECT " + function + "(" + KEY + ")");
                result.next();
                return "t".equals(result.getString(1)); // the other two return nothing or true
            }
        }
    }
}
