-- PostgreSQL: the lines of the file that are no trips; a copy that was repeated has them twice.
INSERT INTO quality.rejects
SELECT DISTINCT * FROM {{ render(vars.staging) }}_rejects
ON CONFLICT DO NOTHING
