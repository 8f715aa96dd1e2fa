INSERT INTO intermediary_transition (entity, before, after) VALUES ('allocation', 'LAPSED', 'FAILED');
UPDATE bonds_allocation SET state = 'FAILED' WHERE state = 'LAPSED';
DELETE FROM intermediary_transition WHERE entity = 'allocation' AND 'LAPSED' IN (before, after);
