-- Margin history: the client sees its own, workers add to it, nobody rewrites it.
SELECT protect('intermediary_marginpoint', 'cell_id IN (SELECT tenant_cells())');
REVOKE UPDATE ON intermediary_marginpoint FROM bulkhead_worker;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON intermediary_marginpoint
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON intermediary_marginpoint
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Every client relationship under its anonymous code, with what a default has cost: published, never hidden (D1).
CREATE VIEW public_relationship AS
    SELECT c.id AS cell_id, c.code, c.state,
        coalesce(sum(d.loss_base_units), 0) AS net_loss_base_units,
        coalesce(sum(d.recoveries_base_units), 0) AS recoveries_base_units,
        coalesce(sum(d.uncovered_base_units), 0) AS uncovered_base_units,
        min(d.noticed_at) AS defaulted_at
    FROM intermediary_cell c LEFT JOIN intermediary_defaultcase d ON d.cell_id = c.id AND d.state <> 'CURED'
    WHERE c.kind = 'CLIENT' GROUP BY c.id, c.code, c.state;
GRANT SELECT ON public_relationship TO bulkhead_portal, bulkhead_staff, bulkhead_worker;
