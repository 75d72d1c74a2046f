-- PostgreSQL: the index by zone, and what the reports and the quality of the load need of it.
SET LOCAL max_parallel_workers_per_gather = 0;
SET LOCAL max_parallel_maintenance_workers = 0;
LOCK TABLE {{ render(vars.staging) }} IN SHARE MODE;
DROP TABLE IF EXISTS {{ render(vars.staging) }}_zones;
CREATE TABLE {{ render(vars.staging) }}_zones AS
  SELECT pickup_location_id, count(*) AS trips, sum(total_amount) AS revenue
  FROM {{ render(vars.staging) }}
  GROUP BY pickup_location_id;
CREATE INDEX IF NOT EXISTS load_{{ execution.id | lower }}_location
  ON {{ render(vars.staging) }} (pickup_location_id);
