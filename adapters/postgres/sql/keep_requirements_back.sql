ALTER TABLE node_io_requirements DROP COLUMN described;
