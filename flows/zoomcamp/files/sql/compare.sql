-- PostgreSQL: whether the month holds the trips of this very file.
WITH file AS (
  UPDATE quality.loads
  SET file_size = {{ outputs.fingerprint.vars.file_size }},
    checksum = '{{ outputs.fingerprint.vars.checksum }}'
  WHERE load_id = '{{ execution.id }}'
), present AS (
  SELECT checksum FROM quality.loads
  WHERE taxi = '{{ inputs.taxi }}' AND month = '{{ inputs.month }}-01' AND state = 'LOADED'
  ORDER BY finished_at DESC LIMIT 1
)
SELECT
  to_regclass('trips.{{ render(vars.partition) }}') IS NOT NULL
  AND EXISTS (SELECT FROM present WHERE checksum = '{{ outputs.fingerprint.vars.checksum }}')
  AS unchanged
