-- Who was still to pay when an offering was pulled failed at nothing. Of those that stand as failed, only the ones that a
-- round of payment found unpaid did.
INSERT INTO intermediary_transition (entity, before, after) VALUES
    ('allocation', 'DUE', 'LAPSED'), ('allocation', 'FAILED', 'LAPSED');
UPDATE bonds_allocation a SET state = 'LAPSED'
FROM bonds_tranche t JOIN bonds_offering o ON o.series_id = t.series_id
WHERE t.id = a.tranche_id AND a.state = 'FAILED' AND o.state = 'PULLED' AND NOT EXISTS (
    SELECT FROM intermediary_auditrecord r WHERE r.action = 'allocation_not_paid' AND r.subject = a.order_id::text);
DELETE FROM intermediary_transition WHERE entity = 'allocation' AND before = 'FAILED' AND after = 'LAPSED';
