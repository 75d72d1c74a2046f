-- PostgreSQL: a load that did not publish its month leaves nothing in staging.
DROP TABLE IF EXISTS {{ render(vars.staging) }}, {{ render(vars.staging) }}_rejects,
  {{ render(vars.staging) }}_hours, {{ render(vars.staging) }}_zones;
UPDATE quality.loads SET state = 'FAILED', finished_at = clock_timestamp()
WHERE load_id = '{{ execution.id }}' AND state = 'RUNNING';
