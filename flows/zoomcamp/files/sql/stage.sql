-- PostgreSQL: tables for the rows of the file; that of the trips becomes the month's partition.
-- A server that was killed begins the task once more.
DROP TABLE IF EXISTS {{ render(vars.staging) }}, {{ render(vars.staging) }}_rejects;
CREATE TABLE {{ render(vars.staging) }}_rejects (LIKE quality.rejects);
CREATE TABLE {{ render(vars.staging) }} (LIKE trips.{{ inputs.taxi }});
-- The constraint spares ATTACH PARTITION a look at every row.
ALTER TABLE {{ render(vars.staging) }}
  ALTER month SET DEFAULT '{{ inputs.month }}-01',
  ADD CONSTRAINT of_month CHECK (month = '{{ inputs.month }}-01');

UPDATE quality.loads
SET rows_read = {{ outputs.read.outputs[0].row.rows_read }},
  rows_rejected = {{ outputs.read.outputs[0].row.rows_rejected }},
  read_seconds = extract(epoch FROM clock_timestamp() - started_at)
WHERE load_id = '{{ execution.id }}';

SELECT round(share, 2) AS percent, allowed, share > allowed AS refused
FROM (
  SELECT
    {{ outputs.read.outputs[0].row.rows_rejected }} * 100.0
      / {{ outputs.read.outputs[0].row.rows_read }} AS share,
    '{{ kv('taxi_rejects_percent', errorOnMissing=false) ?? 1 }}'::numeric AS allowed
) AS rejects;
