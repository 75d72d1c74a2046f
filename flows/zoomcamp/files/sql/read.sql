-- DuckDB: a file of trips becomes rows for the warehouse, and rejects with their reason.
SET memory_limit = '160MB';

-- The text of a field as PostgreSQL takes it; NULL if it is none of the type. Numbers keep their
-- digits, but some months have their integers written as 1.0.
CREATE MACRO as_integer(field) AS
  CASE WHEN TRY_CAST(field AS INTEGER) = TRY_CAST(field AS DOUBLE)
    THEN TRY_CAST(field AS INTEGER)::VARCHAR END;
CREATE MACRO as_numeric(field) AS
  CASE WHEN isfinite(TRY_CAST(field AS DOUBLE)) AND NOT contains(field, '_') THEN field END;
-- Both databases would leave out a time zone.
CREATE MACRO as_timestamp(field) AS
  CASE WHEN TRY_CAST(field AS TIMESTAMP) BETWEEN '0001-01-01' AND '9999-12-31'
    AND regexp_full_match(
      field, ' *\d{4}[-/]\d{1,2}[-/]\d{1,2}((T| +)\d{1,2}:\d{2}(:\d{2}(\.\d{1,6})?)?)? *'
    )
    THEN field END;
CREATE MACRO as_text(field) AS
  CASE WHEN field <> '' AND NOT contains(field, chr(0)) THEN '"' || replace(field, '"', '""') || '"' END;
CREATE MACRO problem(header, field, value, type, needed) AS
  CASE
    WHEN value IS NULL AND field <> '' THEN header || ' "' || field || '" is no ' || type
    WHEN needed AND field = '' THEN header || ' is empty'
  END;

{% if inputs.format == 'parquet' %}
CREATE VIEW lines AS
  SELECT array_to_string(fields, ',') AS line, false AS usual, NULL AS problem, fields
  FROM (
    SELECT list_value(*COLUMNS(*)) AS fields
    FROM (SELECT coalesce(COLUMNS(*)::VARCHAR, '') FROM read_parquet('{{ workingDir }}/trips'))
  );
SET VARIABLE header = (
  SELECT list(column_name) FROM (DESCRIBE FROM read_parquet('{{ workingDir }}/trips'))
);
{% else %}
-- A row is a whole line: so a reject keeps it as it is, and one that is too short is only a reject.
-- chr(1) and chr(2) are in no line: check_lines.py puts chr(2) around its reason for a reject.
CREATE MACRO text_lines(skipped) AS TABLE
  SELECT
    usual,
    CASE WHEN NOT usual AND line[1] = chr(2) THEN split_part(line, chr(2), 3) ELSE line END AS line,
    CASE WHEN usual THEN NULL
      WHEN line[1] = chr(2) THEN split_part(line, chr(2), 2)
      WHEN contains(line, '"')
        AND NOT regexp_full_match(line, '("([^"]|"")*"|[^",]*)(,("([^"]|"")*"|[^",]*))*')
      THEN 'quotes that enclose no field'
    END AS problem,
    CASE WHEN usual THEN NULL
      WHEN contains(line, '"')
      THEN list_transform(
        regexp_extract_all(line, '(?:^|,)("(?:[^"]|"")*"|[^,]*)', 1),
        lambda field: CASE WHEN field[1] = '"' THEN replace(field[2:-2], '""', '"') ELSE field END
      )
      ELSE string_split(line, ',')
    END AS fields
  FROM (
    SELECT line, regexp_full_match(line, getvariable('usual')) AS usual
    FROM read_csv(
      '{{ workingDir }}/trips', auto_detect = false, header = false, skip = skipped,
      columns = {'line': 'VARCHAR'}, delim = chr(1), quote = '', escape = '', compression = 'none'
    )
  );
CREATE VIEW lines AS FROM text_lines(1);
SET VARIABLE header = (SELECT list_transform(fields, lambda name: trim(name)) FROM text_lines(0) LIMIT 1);
{% endif %}

CREATE TABLE columns AS
  SELECT
    row_number() OVER () AS position,
    list_position(
      list_transform(getvariable('header'), lambda name: lower(name)), lower(header)
    ) AS place,
    *
  FROM read_csv('{{ workingDir }}/columns.csv', header = true, all_varchar = true);

SET VARIABLE problems = (
  SELECT string_agg(problem, '; ') FROM (
    SELECT 'unknown column "' || name || '"' AS problem
    FROM (SELECT unnest(getvariable('header')) AS name)
    WHERE lower(name) NOT IN (SELECT lower(header) FROM columns)
    UNION ALL
    SELECT 'missing column "' || header || '"' FROM columns WHERE place IS NULL AND required <> 'no'
    UNION ALL
    SELECT 'column "' || min(name) || '" twice'
    FROM (SELECT unnest(getvariable('header')) AS name) GROUP BY lower(name) HAVING count(*) > 1
  )
);
SET VARIABLE passed = (
  SELECT CASE WHEN getvariable('problems') IS NOT NULL THEN error(
    '{{ render(vars.file) }}: ' || getvariable('problems')
    || '. The columns of {{ inputs.taxi }} trips are in the namespace file columns/{{ inputs.taxi }}.csv.'
  ) END
);

-- Most lines are good as they are, which one pattern for the whole line shows at once.
SET VARIABLE usual = (
  SELECT string_agg(
    CASE type
      WHEN 'integer' THEN '(-?\d{1,9})'
      WHEN 'numeric' THEN '(-?(\d{1,9}(\.\d{1,9})?|\.\d{1,9}))'
      WHEN 'timestamp' THEN
        '([12]\d{3}-((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)'
        || ' ([01]\d|2[0-3]):[0-5]\d:[0-5]\d)'
      WHEN 'text' THEN '([^",]*)'
    END || CASE WHEN required <> 'value' THEN '?' ELSE '' END, ',' ORDER BY place
  )
  FROM columns WHERE place IS NOT NULL
);
-- The others are looked at field by field, by a statement made of the columns that the file has.
SET VARIABLE read = (
  SELECT
    'SELECT line, CASE WHEN usual THEN '''' WHEN problem <> '''' THEN problem WHEN len(fields) <> '
    || count(*) || ' THEN len(fields) || '' fields instead of '
    || count(*) || ''' WHEN line IS NOT NULL THEN coalesce(' || string_agg(
      'problem(''' || header || ''', ' || field || ', ' || value || ', ''' || type || ''', '
      || (required = 'value') || ')', ', '
    )
    || ', '''') END AS reason, CASE WHEN NOT usual THEN '
    || string_agg('coalesce(' || value || ', '''')', ' || '','' || ' ORDER BY place)
    || ' END AS trip FROM lines'
  FROM (
    SELECT *, 'fields[' || place || ']' AS field, 'as_' || type || '(' || field || ')' AS value
    FROM columns WHERE place IS NOT NULL
  )
);
CREATE TEMP TABLE rows AS FROM query(getvariable('read'));
{% if inputs.format != 'parquet' %}
SET VARIABLE passed = (
  SELECT CASE WHEN count(*) + 1 <> {{ outputs.check.vars.lines }} THEN error(
    '{{ render(vars.file) }}: ' || count(*) + 1 || ' of {{ outputs.check.vars.lines }} lines were read'
  ) END
  FROM rows
);
{% endif %}
SET VARIABLE passed = (
  SELECT CASE WHEN count(*) = 0 THEN error('{{ render(vars.file) }}: there is no trip in it.') END
  FROM rows WHERE reason = ''
);

-- The rows keep the order of the file, so a row has the number of its line.
SET VARIABLE first_line = (SELECT {{ inputs.format == 'parquet' ? 1 : 2 }} - min(rowid) FROM rows);
COPY (
  SELECT rowid + getvariable('first_line'), coalesce(trip, line)
  FROM rows WHERE reason = '' AND rowid % 2 = 0
) TO '{{ outputFiles.even }}' (HEADER false, QUOTE '', ESCAPE '');
COPY (
  SELECT rowid + getvariable('first_line'), coalesce(trip, line)
  FROM rows WHERE reason = '' AND rowid % 2 = 1
) TO '{{ outputFiles.odd }}' (HEADER false, QUOTE '', ESCAPE '');
COPY (
  SELECT
    '{{ execution.id }}', '{{ inputs.taxi }}', '{{ inputs.month }}-01',
    rowid + getvariable('first_line'), replace(reason, chr(0), '\x00'), replace(line, chr(0), '\x00')
  FROM rows WHERE reason <> ''
) TO '{{ outputFiles.rejects }}' (HEADER false);

SELECT
  (SELECT count(reason) FROM rows) AS rows_read,
  (SELECT count(*) FROM rows WHERE reason <> '') AS rows_rejected,
  to_json(['line'] || list("column" ORDER BY place))::VARCHAR AS columns,
  'jsonb_build_object(' || string_agg(
    '''' || "column" || ''', count(*) - count(' || "column" || ')', ', ' ORDER BY place
  ) || ')' AS null_counts
FROM columns WHERE place IS NOT NULL;
