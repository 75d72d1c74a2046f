-- PostgreSQL, one transaction with publish.sql: what is told about the month.
DELETE FROM reports.revenue
WHERE taxi = '{{ inputs.taxi }}' AND month = '{{ inputs.month }}-01';
INSERT INTO reports.revenue
SELECT '{{ inputs.taxi }}', month, pickup_location_id, count(*), sum(total_amount)
FROM trips.{{ render(vars.partition) }}
GROUP BY month, pickup_location_id;

DELETE FROM reports.trips_per_hour
WHERE taxi = '{{ inputs.taxi }}' AND month = '{{ inputs.month }}-01';
INSERT INTO reports.trips_per_hour
SELECT '{{ inputs.taxi }}', month, date_trunc('hour', pickup_at) AS hour, count(*)
FROM trips.{{ render(vars.partition) }}
WHERE date_trunc('month', pickup_at) = month
GROUP BY month, hour;

DELETE FROM quality.rejects
WHERE taxi = '{{ inputs.taxi }}' AND month = '{{ inputs.month }}-01'
  AND load_id <> '{{ execution.id }}';
UPDATE quality.loads
SET (rows_loaded, rows_outside_month, total_amount, null_counts) = (
    SELECT
      count(*), count(*) FILTER (WHERE date_trunc('month', pickup_at) <> month),
      sum(total_amount), {{ outputs.read.outputs[0].row.null_counts }}
    FROM trips.{{ render(vars.partition) }}
  ),
  state = 'LOADED',
  finished_at = clock_timestamp(),
  copy_seconds = extract(epoch FROM now() - started_at) - read_seconds,
  publish_seconds = extract(epoch FROM clock_timestamp() - now())
WHERE load_id = '{{ execution.id }}'
RETURNING rows_read, rows_loaded, rows_rejected, rows_outside_month, total_amount;
