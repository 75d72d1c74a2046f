-- PostgreSQL: what came of the loads of a backfill; one that never began has failed too.
SELECT
  count(*) FILTER (WHERE state = 'LOADED') AS loaded,
  count(*) FILTER (WHERE state = 'UNCHANGED') AS unchanged,
  count(*) FILTER (WHERE state = 'FAILED') AS failed,
  string_agg(month || coalesce(' (' || load_id || ')', ''), ', ' ORDER BY position)
    FILTER (WHERE state = 'FAILED') AS failures
FROM (
  SELECT
    wanted.month, position, load_id,
    CASE WHEN state IN ('LOADED', 'UNCHANGED') THEN state ELSE 'FAILED' END AS state
  FROM jsonb_array_elements_text('{{ outputs.months.row.loads }}')
    WITH ORDINALITY AS wanted(month, position)
  LEFT JOIN quality.loads
    ON batch = '{{ labels.system.correlationId }}'
    AND taxi || ' ' || to_char(loads.month, 'YYYY-MM') = wanted.month
) AS outcome
