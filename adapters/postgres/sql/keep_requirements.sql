-- What the schemas of a node's task say of a field, beside what counts for runs.

ALTER TABLE node_io_requirements ADD COLUMN described jsonb;

-- The owner is bound by row level security as well, and this is about all orgs.
ALTER TABLE node_io_requirements NO FORCE ROW LEVEL SECURITY;
UPDATE node_io_requirements SET described = jsonb_build_object(
    'type', data_type, 'required', is_required, 'default', default_value,
    'rules', validation_rules, 'description', description
);
ALTER TABLE node_io_requirements FORCE ROW LEVEL SECURITY;
