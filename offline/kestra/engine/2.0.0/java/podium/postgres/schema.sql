-- The tables that Kestra's JDBC classes expect, by their names and columns. An object is the JSON in
-- "value"; the columns that the classes filter and sort by are generated from it.

-- Words, for full-text search. A tsvector is limited to 1 MiB.
CREATE FUNCTION words(VARIADIC texts text[]) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_tsvector('simple', regexp_replace(left(array_to_string(texts, ' '), 100000), '[^[:alnum:]]+', ' ', 'g'))
$$;

-- A time with its zone. The cast is only stable, since it also reads texts such as `now`.
CREATE FUNCTION instant(text) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS 'SELECT $1::timestamptz';

CREATE TABLE queues (
    "offset" bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type text NOT NULL,
    routing_key text,
    key text NOT NULL,
    value jsonb NOT NULL,
    created timestamptz NOT NULL
);
CREATE INDEX ON queues (type, "offset") WHERE routing_key IS NULL;
CREATE INDEX ON queues (type, routing_key, "offset") WHERE routing_key IS NOT NULL;
CREATE INDEX ON queues (type, created);

CREATE TABLE flows (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    source_code text NOT NULL,
    tenant_id text GENERATED ALWAYS AS (value ->> 'tenantId') STORED,
    namespace text GENERATED ALWAYS AS (value ->> 'namespace') STORED,
    id text GENERATED ALWAYS AS (value ->> 'id') STORED,
    revision int GENERATED ALWAYS AS ((value ->> 'revision')::int) STORED,
    deleted boolean GENERATED ALWAYS AS (COALESCE((value ->> 'deleted')::boolean, false)) STORED,
    disabled boolean GENERATED ALWAYS AS (COALESCE((value ->> 'disabled')::boolean, false)) STORED,
    draft boolean GENERATED ALWAYS AS (COALESCE((value ->> 'draft')::boolean, false)) STORED,
    updated text GENERATED ALWAYS AS (value ->> 'updated') STORED,
    fulltext tsvector GENERATED ALWAYS AS (words(value ->> 'namespace', value ->> 'id')) STORED
);
CREATE INDEX ON flows (tenant_id, namespace, id, revision);

CREATE TABLE executions (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    tenant_id text GENERATED ALWAYS AS (value ->> 'tenantId') STORED,
    namespace text GENERATED ALWAYS AS (value ->> 'namespace') STORED,
    flow_id text GENERATED ALWAYS AS (value ->> 'flowId') STORED,
    id text GENERATED ALWAYS AS (value ->> 'id') STORED,
    kind text GENERATED ALWAYS AS (value ->> 'kind') STORED,
    deleted boolean GENERATED ALWAYS AS (COALESCE((value ->> 'deleted')::boolean, false)) STORED,
    state_current text GENERATED ALWAYS AS (value #>> '{state,current}') STORED,
    state_duration double precision -- in milliseconds
        GENERATED ALWAYS AS ((value #>> '{state,duration}')::double precision * 1000) STORED,
    start_date timestamptz GENERATED ALWAYS AS (instant(value #>> '{state,startDate}')) STORED,
    end_date timestamptz GENERATED ALWAYS AS (instant(value #>> '{state,endDate}')) STORED,
    parent_id text GENERATED ALWAYS AS (value ->> 'parentId') STORED,
    loop_run_index int GENERATED ALWAYS AS ((value #>> '{loopRun,index}')::int) STORED,
    loop_run_task_id text GENERATED ALWAYS AS (value #>> '{loopRun,taskId}') STORED,
    trigger_id text GENERATED ALWAYS AS (value #>> '{trigger,id}') STORED,
    trigger_execution_id text
        GENERATED ALWAYS AS (value #>> '{trigger,variables,executionId}') STORED,
    fulltext tsvector
        GENERATED ALWAYS AS (words(value ->> 'namespace', value ->> 'flowId', value ->> 'id')) STORED
);
CREATE INDEX ON executions (tenant_id, start_date);
CREATE INDEX ON executions (tenant_id, namespace, flow_id, start_date);
CREATE INDEX ON executions (tenant_id, state_current, start_date);
CREATE INDEX ON executions (tenant_id, parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX ON executions (tenant_id, trigger_execution_id) WHERE trigger_execution_id IS NOT NULL;
CREATE INDEX ON executions (trigger_id) WHERE trigger_id IS NOT NULL;
CREATE INDEX ON executions USING gin ((value -> 'labels') jsonb_path_ops);
CREATE INDEX ON executions USING gin (fulltext);

CREATE TABLE execution_outputs (
    key text PRIMARY KEY,
    tenant_id text,
    value bytea,
    uri text
);

CREATE TABLE task_outputs (
    key text PRIMARY KEY,
    tenant_id text,
    execution_id text NOT NULL,
    task_run_id text NOT NULL,
    value bytea,
    uri text
);
CREATE INDEX ON task_outputs (execution_id);
CREATE INDEX ON task_outputs (task_run_id);

CREATE TABLE execution_statistics (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    tenant_id text GENERATED ALWAYS AS (value ->> 'tenantId') STORED,
    namespace text GENERATED ALWAYS AS (value ->> 'namespace') STORED,
    flow_id text GENERATED ALWAYS AS (value ->> 'flowId') STORED,
    execution_id text GENERATED ALWAYS AS (value ->> 'executionId') STORED,
    state text GENERATED ALWAYS AS (value ->> 'state') STORED,
    date timestamptz GENERATED ALWAYS AS (instant(value ->> 'date')) STORED
);
CREATE INDEX ON execution_statistics (tenant_id, date);
CREATE INDEX ON execution_statistics (tenant_id, namespace, flow_id, date);
CREATE INDEX ON execution_statistics (date) WHERE execution_id IS NOT NULL;

CREATE TABLE triggers (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    tenant_id text GENERATED ALWAYS AS (value ->> 'tenantId') STORED,
    namespace text GENERATED ALWAYS AS (value ->> 'namespace') STORED,
    flow_id text GENERATED ALWAYS AS (value ->> 'flowId') STORED,
    trigger_id text GENERATED ALWAYS AS (value ->> 'triggerId') STORED,
    execution_id text GENERATED ALWAYS AS (value ->> 'executionId') STORED,
    worker_id text GENERATED ALWAYS AS (value ->> 'workerId') STORED,
    type text GENERATED ALWAYS AS (value ->> 'type') STORED,
    vnode int GENERATED ALWAYS AS ((value ->> 'vnode')::int) STORED,
    locked boolean GENERATED ALWAYS AS ((value ->> 'locked')::boolean) STORED,
    disabled boolean GENERATED ALWAYS AS (COALESCE((value ->> 'disabled')::boolean, false)) STORED,
    next_evaluation_epoch bigint
        GENERATED ALWAYS AS ((value ->> 'nextEvaluationEpoch')::bigint) STORED,
    next_evaluation_date timestamptz
        GENERATED ALWAYS AS (instant(value ->> 'nextEvaluationDate')) STORED,
    last_triggered_date timestamptz
        GENERATED ALWAYS AS (instant(value ->> 'lastTriggeredDate')) STORED,
    fulltext tsvector GENERATED ALWAYS AS (words(
        value ->> 'namespace', value ->> 'flowId', value ->> 'triggerId', value ->> 'executionId'
    )) STORED
);
CREATE INDEX ON triggers (vnode, next_evaluation_epoch);
CREATE INDEX ON triggers (tenant_id, namespace, flow_id);

CREATE TABLE logs (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    tenant_id text GENERATED ALWAYS AS (value ->> 'tenantId') STORED,
    namespace text GENERATED ALWAYS AS (value ->> 'namespace') STORED,
    flow_id text GENERATED ALWAYS AS (value ->> 'flowId') STORED,
    execution_id text GENERATED ALWAYS AS (value ->> 'executionId') STORED,
    execution_kind text GENERATED ALWAYS AS (value ->> 'executionKind') STORED,
    task_id text GENERATED ALWAYS AS (value ->> 'taskId') STORED,
    taskrun_id text GENERATED ALWAYS AS (value ->> 'taskRunId') STORED,
    trigger_id text GENERATED ALWAYS AS (value ->> 'triggerId') STORED,
    attempt_number int GENERATED ALWAYS AS ((value ->> 'attemptNumber')::int) STORED,
    level text GENERATED ALWAYS AS (value ->> 'level') STORED,
    thread text GENERATED ALWAYS AS (value ->> 'thread') STORED,
    message text GENERATED ALWAYS AS (value ->> 'message') STORED,
    timestamp timestamptz GENERATED ALWAYS AS (instant(value ->> 'timestamp')) STORED,
    fulltext tsvector GENERATED ALWAYS AS (words(
        value ->> 'namespace', value ->> 'flowId', value ->> 'taskId', value ->> 'executionId',
        value ->> 'taskRunId', value ->> 'triggerId', value ->> 'thread', value ->> 'message'
    )) STORED
);
CREATE INDEX ON logs (execution_id, timestamp);
CREATE INDEX ON logs (tenant_id, timestamp);
CREATE INDEX ON logs (tenant_id, namespace, flow_id, timestamp);
CREATE INDEX ON logs USING gin (fulltext);

CREATE TABLE metrics (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    tenant_id text GENERATED ALWAYS AS (value ->> 'tenantId') STORED,
    namespace text GENERATED ALWAYS AS (value ->> 'namespace') STORED,
    flow_id text GENERATED ALWAYS AS (value ->> 'flowId') STORED,
    execution_id text GENERATED ALWAYS AS (value ->> 'executionId') STORED,
    execution_kind text GENERATED ALWAYS AS (value ->> 'executionKind') STORED,
    task_id text GENERATED ALWAYS AS (value ->> 'taskId') STORED,
    taskrun_id text GENERATED ALWAYS AS (value ->> 'taskRunId') STORED,
    metric_name text GENERATED ALWAYS AS (value ->> 'name') STORED,
    metric_value double precision
        GENERATED ALWAYS AS ((value ->> 'value')::double precision) STORED,
    timestamp timestamptz GENERATED ALWAYS AS (instant(value ->> 'timestamp')) STORED
);
CREATE INDEX ON metrics (execution_id);
CREATE INDEX ON metrics (tenant_id, namespace, flow_id, timestamp);
CREATE INDEX ON metrics (tenant_id, timestamp);

CREATE TABLE multipleconditions (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    tenant_id text GENERATED ALWAYS AS (value ->> 'tenantId') STORED,
    namespace text GENERATED ALWAYS AS (value ->> 'namespace') STORED,
    flow_id text GENERATED ALWAYS AS (value ->> 'flowId') STORED,
    condition_id text GENERATED ALWAYS AS (value ->> 'conditionId') STORED,
    start_date timestamptz GENERATED ALWAYS AS (instant(value ->> 'start')) STORED,
    end_date timestamptz GENERATED ALWAYS AS (instant(value ->> 'end')) STORED
);
CREATE INDEX ON multipleconditions (tenant_id, namespace, flow_id, condition_id);
CREATE INDEX ON multipleconditions (tenant_id, end_date);

CREATE TABLE executordelayed (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    date timestamptz GENERATED ALWAYS AS (instant(value ->> 'date')) STORED
);
CREATE INDEX ON executordelayed (date);

CREATE TABLE execution_queued (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    tenant_id text GENERATED ALWAYS AS (value ->> 'tenantId') STORED,
    namespace text GENERATED ALWAYS AS (value ->> 'namespace') STORED,
    flow_id text GENERATED ALWAYS AS (value ->> 'flowId') STORED,
    date timestamptz GENERATED ALWAYS AS (instant(value ->> 'date')) STORED
);
CREATE INDEX ON execution_queued (tenant_id, namespace, flow_id, date);

CREATE TABLE concurrency_limit (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    tenant_id text GENERATED ALWAYS AS (value ->> 'tenantId') STORED,
    namespace text GENERATED ALWAYS AS (value ->> 'namespace') STORED,
    flow_id text GENERATED ALWAYS AS (value ->> 'flowId') STORED,
    running int GENERATED ALWAYS AS ((value ->> 'running')::int) STORED
);

CREATE TABLE sla_monitor (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    execution_id text GENERATED ALWAYS AS (value ->> 'executionId') STORED,
    sla_id text GENERATED ALWAYS AS (value ->> 'slaId') STORED,
    deadline timestamptz GENERATED ALWAYS AS (instant(value ->> 'deadline')) STORED
);
CREATE INDEX ON sla_monitor (deadline);
CREATE INDEX ON sla_monitor (execution_id);

CREATE TABLE worker_job_running (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    worker_uid text GENERATED ALWAYS AS (value #>> '{workerInstance,uid}') STORED
);
CREATE INDEX ON worker_job_running (worker_uid);

CREATE TABLE service_instance (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    service_id text GENERATED ALWAYS AS (value ->> 'id') STORED,
    service_type text GENERATED ALWAYS AS (value ->> 'type') STORED,
    state text GENERATED ALWAYS AS (value ->> 'state') STORED,
    created_at timestamptz GENERATED ALWAYS AS (instant(value ->> 'createdAt')) STORED,
    updated_at timestamptz GENERATED ALWAYS AS (instant(value ->> 'updatedAt')) STORED,
    fulltext tsvector GENERATED ALWAYS AS (words(
        value ->> 'id', value ->> 'type', value #>> '{server,hostname}', value #>> '{server,version}'
    )) STORED
);
CREATE UNIQUE INDEX ON service_instance (service_id);
CREATE INDEX ON service_instance (state);

CREATE TABLE settings (
    key text PRIMARY KEY,
    value jsonb NOT NULL
);

CREATE TABLE locks (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    tenant_id text GENERATED ALWAYS AS (value ->> 'tenantId') STORED,
    category text GENERATED ALWAYS AS (value ->> 'category') STORED,
    id text GENERATED ALWAYS AS (value ->> 'id') STORED,
    owner text GENERATED ALWAYS AS (value ->> 'owner') STORED,
    locked_until timestamptz GENERATED ALWAYS AS (instant(value ->> 'lockedUntil')) STORED
);

CREATE TABLE flow_topologies (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    relation text GENERATED ALWAYS AS (value ->> 'relation') STORED,
    source_tenant_id text GENERATED ALWAYS AS (value #>> '{source,tenantId}') STORED,
    source_namespace text GENERATED ALWAYS AS (value #>> '{source,namespace}') STORED,
    source_id text GENERATED ALWAYS AS (value #>> '{source,id}') STORED,
    destination_tenant_id text GENERATED ALWAYS AS (value #>> '{destination,tenantId}') STORED,
    destination_namespace text GENERATED ALWAYS AS (value #>> '{destination,namespace}') STORED,
    destination_id text GENERATED ALWAYS AS (value #>> '{destination,id}') STORED
);
CREATE INDEX ON flow_topologies (destination_tenant_id, destination_namespace, destination_id);
CREATE INDEX ON flow_topologies (source_tenant_id, source_namespace, source_id);

CREATE TABLE kv_metadata (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    tenant_id text GENERATED ALWAYS AS (value ->> 'tenantId') STORED,
    namespace text GENERATED ALWAYS AS (value ->> 'namespace') STORED,
    name text GENERATED ALWAYS AS (value ->> 'name') STORED,
    description text GENERATED ALWAYS AS (value ->> 'description') STORED,
    version int GENERATED ALWAYS AS ((value ->> 'version')::int) STORED,
    last boolean GENERATED ALWAYS AS ((value ->> 'last')::boolean) STORED,
    deleted boolean GENERATED ALWAYS AS ((value ->> 'deleted')::boolean) STORED,
    expiration_date timestamptz GENERATED ALWAYS AS (instant(value ->> 'expirationDate')) STORED,
    created timestamptz
        GENERATED ALWAYS AS (instant(COALESCE(value ->> 'created', value ->> 'updated'))) STORED,
    updated timestamptz GENERATED ALWAYS AS (instant(value ->> 'updated')) STORED,
    fulltext tsvector GENERATED ALWAYS AS (words(value ->> 'name')) STORED
);
CREATE INDEX ON kv_metadata (tenant_id, namespace, name, version);

CREATE TABLE namespace_file_metadata (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    tenant_id text GENERATED ALWAYS AS (value ->> 'tenantId') STORED,
    namespace text GENERATED ALWAYS AS (value ->> 'namespace') STORED,
    path text GENERATED ALWAYS AS (value ->> 'path') STORED,
    parent_path text GENERATED ALWAYS AS (value ->> 'parentPath') STORED,
    version int GENERATED ALWAYS AS ((value ->> 'version')::int) STORED,
    last boolean GENERATED ALWAYS AS ((value ->> 'last')::boolean) STORED,
    deleted boolean GENERATED ALWAYS AS ((value ->> 'deleted')::boolean) STORED,
    size bigint GENERATED ALWAYS AS ((value ->> 'size')::bigint) STORED,
    created timestamptz GENERATED ALWAYS AS (instant(value ->> 'created')) STORED,
    updated timestamptz GENERATED ALWAYS AS (instant(value ->> 'updated')) STORED,
    fulltext tsvector GENERATED ALWAYS AS (words(value ->> 'path')) STORED
);
CREATE INDEX ON namespace_file_metadata (tenant_id, namespace, path, version);
CREATE INDEX ON namespace_file_metadata (tenant_id, namespace, parent_path);

CREATE TABLE mcp (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    tenant_id text GENERATED ALWAYS AS (value ->> 'tenantId') STORED,
    id text GENERATED ALWAYS AS (value ->> 'id') STORED,
    deleted boolean GENERATED ALWAYS AS ((value ->> 'deleted')::boolean) STORED,
    created timestamptz GENERATED ALWAYS AS (instant(value ->> 'created')) STORED,
    updated timestamptz GENERATED ALWAYS AS (instant(value ->> 'updated')) STORED
);

CREATE TABLE mcp_session (
    key text PRIMARY KEY,
    value jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    tenant_id text GENERATED ALWAYS AS (value ->> 'tenantId') STORED,
    server_id text GENERATED ALWAYS AS (value ->> 'serverId') STORED,
    session_id text GENERATED ALWAYS AS (value ->> 'sessionId') STORED,
    sse_node text GENERATED ALWAYS AS (value ->> 'sseNode') STORED
);
