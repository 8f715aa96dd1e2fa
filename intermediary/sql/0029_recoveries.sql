-- What has come back on each determined default, under the relationship's anonymous code: those who hold its notes
-- are told where their right to be written up stands, and so is everybody else.
CREATE VIEW public_recovery AS
    SELECT d.id AS case_id, d.cell_id, d.state, d.noticed_at, d.loss_base_units, d.recoveries_base_units,
        count(r.id) AS receipts, max(r.at) AS last_received_at
    FROM intermediary_defaultcase d LEFT JOIN intermediary_recoveryreceipt r ON r.case_id = d.id
    WHERE d.determination_id IS NOT NULL GROUP BY d.id;
GRANT SELECT ON public_recovery TO bulkhead_portal, bulkhead_staff, bulkhead_worker;
