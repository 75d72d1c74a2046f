-- PostgreSQL: the load is recorded, and what a killed one left behind goes after a day.
DO $$
DECLARE
  killed text;
BEGIN
  FOR killed IN
    UPDATE quality.loads SET state = 'FAILED', finished_at = now()
    WHERE state = 'RUNNING' AND started_at < now() - interval '1 day'
    RETURNING load_id
  LOOP
    killed := 'load_' || lower(killed);
    EXECUTE format(
      'DROP TABLE IF EXISTS staging.%I, staging.%I, staging.%I, staging.%I',
      killed, killed || '_rejects', killed || '_hours', killed || '_zones'
    );
  END LOOP;
END $$;

-- A load that is restarted, or whose server was killed, may come here again.
INSERT INTO quality.loads (load_id, batch, taxi, month, state, file_name, started_at)
VALUES (
  '{{ execution.id }}', '{{ labels.system.correlationId }}', '{{ inputs.taxi }}',
  '{{ inputs.month }}-01', 'RUNNING', '{{ render(vars.file) }}', '{{ execution.startDate }}'
) ON CONFLICT (load_id) DO UPDATE SET state = 'RUNNING', finished_at = NULL;
