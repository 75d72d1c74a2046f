-- PostgreSQL: creates what the warehouse does not have yet, also columns that are new in the lists.
DO $$
BEGIN
  IF to_regclass('reports.monthly_revenue') IS NOT NULL AND NOT EXISTS (
    SELECT unnest(ARRAY[{{ outputs.columns.row.every }}])
    EXCEPT
    SELECT table_name || '.' || column_name
    FROM information_schema.columns WHERE table_schema = 'trips'
  ) THEN
    RETURN;
  END IF;

  -- Two loads that create the same at the same time would clash in spite of IF NOT EXISTS.
  PERFORM pg_advisory_xact_lock(hashtext('podium'), hashtext('warehouse'));

  IF EXISTS (
    SELECT FROM pg_class
    WHERE oid IN (to_regclass('trips.yellow'), to_regclass('trips.green')) AND relkind = 'r'
  ) THEN
    RAISE 'trips.yellow or trips.green is a table without partitions, as an earlier version of this '
      'flow made it: drop it, and load its months again';
  END IF;

  -- A trip is a line of the file of a month. Loading a file replaces the partition of its month.
  CREATE TABLE IF NOT EXISTS trips.yellow (month date NOT NULL, line integer NOT NULL)
    PARTITION BY LIST (month);
  CREATE TABLE IF NOT EXISTS trips.green (month date NOT NULL, line integer NOT NULL)
    PARTITION BY LIST (month);
  ALTER TABLE trips.yellow {{ outputs.columns.row.yellow }};
  ALTER TABLE trips.green {{ outputs.columns.row.green }};
  CREATE INDEX IF NOT EXISTS yellow_pickup_at ON trips.yellow (pickup_at);
  CREATE INDEX IF NOT EXISTS green_pickup_at ON trips.green (pickup_at);
  CREATE INDEX IF NOT EXISTS yellow_pickup_location_id ON trips.yellow (pickup_location_id);
  CREATE INDEX IF NOT EXISTS green_pickup_location_id ON trips.green (pickup_location_id);

  CREATE OR REPLACE VIEW trips.all_trips AS
    SELECT 'yellow' AS taxi, month, line, {{ outputs.columns.row.common }} FROM trips.yellow
    UNION ALL
    SELECT 'green', month, line, {{ outputs.columns.row.common }} FROM trips.green;

  {{ read('sql/zones.sql') }}

  CREATE TABLE IF NOT EXISTS quality.loads (
    load_id text PRIMARY KEY,
    batch text NOT NULL,
    taxi text NOT NULL,
    month date NOT NULL,
    state text NOT NULL CHECK (state IN ('RUNNING', 'LOADED', 'UNCHANGED', 'FAILED')),
    file_name text NOT NULL,
    file_size bigint,
    checksum text,
    rows_read bigint,
    rows_loaded bigint,
    rows_rejected bigint,
    rows_outside_month bigint,
    null_counts jsonb,
    total_amount numeric,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    read_seconds double precision,
    copy_seconds double precision,
    publish_seconds double precision
  );
  CREATE INDEX IF NOT EXISTS loads_month ON quality.loads (taxi, month, finished_at);
  CREATE TABLE IF NOT EXISTS quality.rejects (
    load_id text, taxi text, month date, line integer, reason text, raw text,
    PRIMARY KEY (load_id, line)
  );

  CREATE TABLE IF NOT EXISTS reports.revenue (
    taxi text, month date, pickup_location_id integer, trips bigint NOT NULL, revenue numeric,
    PRIMARY KEY (taxi, month, pickup_location_id)
  );
  CREATE TABLE IF NOT EXISTS reports.trips_per_hour (
    taxi text, month date, hour timestamp, trips bigint NOT NULL, PRIMARY KEY (taxi, month, hour)
  );
  CREATE OR REPLACE VIEW reports.monthly_revenue AS
    SELECT
      taxi, month, coalesce(borough, 'Unknown') AS borough, coalesce(zone, 'Unknown') AS zone,
      sum(trips)::bigint AS trips, sum(revenue) AS revenue
    FROM reports.revenue LEFT JOIN trips.zones ON location_id = pickup_location_id
    GROUP BY taxi, month, 3, 4;
END $$;
