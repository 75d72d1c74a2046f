-- PostgreSQL: the index by time, and what the reports and the quality of the load need of it.
-- by_zone.sql runs at the same time: one process each is faster than workers that share the cores.
-- The lock waits for a copy that a paused server may still have under way.
SET LOCAL max_parallel_workers_per_gather = 0;
SET LOCAL max_parallel_maintenance_workers = 0;
LOCK TABLE {{ render(vars.staging) }} IN SHARE MODE;
DROP TABLE IF EXISTS {{ render(vars.staging) }}_hours;
CREATE TABLE {{ render(vars.staging) }}_hours AS
  SELECT date_trunc('hour', pickup_at) AS hour, count(*) AS trips
  FROM {{ render(vars.staging) }}
  WHERE pickup_at >= '{{ inputs.month }}-01'
    AND pickup_at < date '{{ inputs.month }}-01' + interval '1 month'
  GROUP BY hour;
UPDATE quality.loads
SET null_counts = (
  SELECT {{ outputs.read.outputs[0].row.null_counts }} FROM {{ render(vars.staging) }}
)
WHERE load_id = '{{ execution.id }}';
CREATE INDEX IF NOT EXISTS load_{{ execution.id | lower }}_pickup_at
  ON {{ render(vars.staging) }} (pickup_at);
