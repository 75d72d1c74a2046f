-- PostgreSQL: the index by time, and what the reports and the quality of the load need of it.
CREATE INDEX ON {{ render(vars.staging) }} (pickup_at);
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
