-- PostgreSQL: what a backfill has to load, as a list of texts: a taxi and a month, YYYY-MM.
SELECT
  count(*) AS number,
  jsonb_agg(taxi || ' ' || to_char(month, 'YYYY-MM') ORDER BY month, taxi)::text AS loads
FROM
  jsonb_array_elements_text('{{ inputs.taxis | toJson }}') AS taxi,
  generate_series(date '{{ inputs.from }}-01', date '{{ inputs.to }}-01', interval '1 month') AS month
