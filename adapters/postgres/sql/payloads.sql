-- Which runs may read which values of the payload store: a run refers to what it has stored, and to
-- what it has read. What nobody refers to is removed by `steploom cleanup`.

CREATE TABLE payloads (
    org_id uuid NOT NULL REFERENCES organizations (id),
    instance_id uuid NOT NULL REFERENCES workflow_instances (id) ON DELETE CASCADE,
    sha256 varchar(64) NOT NULL,
    size bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payloads_pkey PRIMARY KEY (org_id, sha256, instance_id)
);
CREATE INDEX payloads_instance_idx ON payloads (instance_id);

ALTER TABLE payloads ENABLE ROW LEVEL SECURITY;
ALTER TABLE payloads FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON payloads
    USING (org_id = nullif(current_setting('app.current_org_id', true), '')::uuid);
