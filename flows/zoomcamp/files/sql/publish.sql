-- PostgreSQL, one transaction with reports.sql: the staged rows become the month's partition.
SET LOCAL maintenance_work_mem = '256MB';
CREATE INDEX ON {{ render(vars.staging) }} (pickup_at);
CREATE INDEX ON {{ render(vars.staging) }} (pickup_location_id);

DO $$
BEGIN
  -- Loads of one month publish one after another.
  PERFORM pg_advisory_xact_lock(hashtext('trips.{{ render(vars.partition) }}'));
  -- A copy that was cut off after its commit may have run again.
  IF (SELECT count(*) FROM {{ render(vars.staging) }}) <> (
    SELECT rows_read - rows_rejected FROM quality.loads WHERE load_id = '{{ execution.id }}'
  ) THEN
    RAISE 'trips were copied more than once: run the load again';
  END IF;
END $$;

DROP TABLE IF EXISTS trips.{{ render(vars.partition) }};
ALTER TABLE {{ render(vars.staging) }} RENAME TO {{ render(vars.partition) }};
ALTER TABLE staging.{{ render(vars.partition) }} SET SCHEMA trips;
ALTER TABLE trips.{{ inputs.taxi }}
  ATTACH PARTITION trips.{{ render(vars.partition) }} FOR VALUES IN ('{{ inputs.month }}-01');
ALTER TABLE trips.{{ render(vars.partition) }} DROP CONSTRAINT of_month;
