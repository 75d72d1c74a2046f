-- PostgreSQL, one transaction: the staged rows become the month's partition, with its reports and quality row.
DO $$
BEGIN
  -- Loads of one month publish one after another.
  PERFORM pg_advisory_xact_lock(hashtext('podium'), hashtext('trips.{{ render(vars.partition) }}'));
  -- Its connection was lost after this was done.
  IF (SELECT state FROM quality.loads WHERE load_id = '{{ execution.id }}') = 'LOADED' THEN
    RETURN;
  END IF;
  -- A copy whose connection was lost after it was done has run again.
  IF (SELECT sum(trips) FROM {{ render(vars.staging) }}_zones) <> (
    SELECT rows_read - rows_rejected FROM quality.loads WHERE load_id = '{{ execution.id }}'
  ) THEN
    DELETE FROM {{ render(vars.staging) }} AS extra USING {{ render(vars.staging) }} AS kept
    WHERE extra.line = kept.line AND extra.ctid > kept.ctid;
    {{ render(read('sql/by_hour.sql')) }}
    {{ render(read('sql/by_zone.sql')) }}
  END IF;

  DELETE FROM reports.revenue
  WHERE taxi = '{{ inputs.taxi }}' AND month = '{{ inputs.month }}-01';
  INSERT INTO reports.revenue
  SELECT '{{ inputs.taxi }}', '{{ inputs.month }}-01', pickup_location_id, trips, revenue
  FROM {{ render(vars.staging) }}_zones;
  DELETE FROM reports.trips_per_hour
  WHERE taxi = '{{ inputs.taxi }}' AND month = '{{ inputs.month }}-01';
  INSERT INTO reports.trips_per_hour
  SELECT '{{ inputs.taxi }}', '{{ inputs.month }}-01', hour, trips
  FROM {{ render(vars.staging) }}_hours;
  -- Not those of a load that is under way beside this one.
  DELETE FROM quality.rejects
  WHERE taxi = '{{ inputs.taxi }}' AND month = '{{ inputs.month }}-01'
    AND load_id NOT IN (SELECT load_id FROM quality.loads WHERE state = 'RUNNING');
  {{ render(read('sql/rejects.sql')) }};

  -- While this waits for readers, new ones wait for it: so it releases its lock again and again. It
  -- waits longer than deadlock_timeout, so that a deadlock is its own and no reader's.
  LOOP
    BEGIN
      SET LOCAL lock_timeout = '2s';
      DROP TABLE IF EXISTS trips.{{ render(vars.partition) }};
      EXIT;
    EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
      PERFORM pg_sleep(1);
    END;
  END LOOP;
  RESET lock_timeout;
  ALTER TABLE {{ render(vars.staging) }} RENAME TO {{ render(vars.partition) }};
  ALTER TABLE staging.{{ render(vars.partition) }} SET SCHEMA trips;
  ALTER TABLE trips.{{ inputs.taxi }}
    ATTACH PARTITION trips.{{ render(vars.partition) }} FOR VALUES IN ('{{ inputs.month }}-01');
  ALTER TABLE trips.{{ render(vars.partition) }} DROP CONSTRAINT of_month;

  WITH published AS (
    SELECT sum(trips) AS trips, sum(revenue) AS revenue FROM {{ render(vars.staging) }}_zones
  ), inside AS (
    SELECT coalesce(sum(trips), 0) AS trips FROM {{ render(vars.staging) }}_hours
  )
  UPDATE quality.loads
  SET state = 'LOADED',
    rows_loaded = published.trips,
    rows_outside_month = published.trips - inside.trips,
    total_amount = published.revenue,
    finished_at = clock_timestamp(),
    copy_seconds = extract(epoch FROM now() - started_at) - read_seconds,
    publish_seconds = extract(epoch FROM clock_timestamp() - now())
  FROM published, inside
  WHERE load_id = '{{ execution.id }}';
  DROP TABLE {{ render(vars.staging) }}_rejects, {{ render(vars.staging) }}_hours,
    {{ render(vars.staging) }}_zones;
END $$;

SELECT rows_read, rows_loaded, rows_rejected, rows_outside_month, total_amount
FROM quality.loads WHERE load_id = '{{ execution.id }}';
