-- Takes match_triggers.sql back.

DROP TABLE event_dead_letters;
DROP POLICY IF EXISTS matching ON workflow_definitions;
DROP FUNCTION match_triggers;
