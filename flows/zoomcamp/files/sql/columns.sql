-- DuckDB: the lists in columns/*.csv as pieces of PostgreSQL's DDL.
WITH columns AS (
  SELECT 'yellow' AS taxi, row_number() OVER () AS position, *
  FROM read_csv('{{ workingDir }}/yellow.csv', header = true, all_varchar = true)
  UNION ALL
  SELECT 'green', row_number() OVER (), *
  FROM read_csv('{{ workingDir }}/green.csv', header = true, all_varchar = true)
)
SELECT
  string_agg('ADD COLUMN IF NOT EXISTS ' || "column" || ' ' || type, ', ' ORDER BY position)
    FILTER (taxi = 'yellow') AS yellow,
  string_agg('ADD COLUMN IF NOT EXISTS ' || "column" || ' ' || type, ', ' ORDER BY position)
    FILTER (taxi = 'green') AS green,
  string_agg("column", ', ' ORDER BY position)
    FILTER (taxi = 'yellow' AND "column" IN (SELECT "column" FROM columns WHERE taxi = 'green'))
    AS common,
  string_agg('''' || taxi || '.' || "column" || '''', ', ') AS every
FROM columns
